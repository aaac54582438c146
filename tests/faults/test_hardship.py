"""What the faults of the stores take for a failure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import f03_killed_redis
from tests.faults.clients import Log
from tests.faults.fault import FaultError, Outcome, Surroundings
from tests.faults.hardship import Hardship, Probe, judge
from tests.faults.redis_stacks import FLUSHED, PLACES
from tests.faults.scripted import Script, scripted_server

LOG = Log(connections=100, refused=Counter({"421": 7, "451": 2}), longest=1.5)
HARDSHIP = Hardship(2, [0.25, 0.75], LOG, frozenset({1, 2}), frozenset({1, 2}))
AFTER = Outcome({"mails acknowledged": "200"}, [])


def judged(hardship: Hardship = HARDSHIP, after: Outcome = AFTER) -> Outcome:
    return judge(hardship, after, codes=("421", "451"))


def test_what_must_hold_and_does_is_no_finding() -> None:
    outcome = judged()
    assert not outcome.findings
    assert outcome.figures["refused for now, by code"] == "421 7, 451 2"
    assert outcome.figures["mail is accepted again, median and longest"] == "0.50 s, 0.75 s"
    assert outcome.figures["mails acknowledged"] == "200"


@pytest.mark.parametrize(
    ("hardship", "after", "finding"),
    [
        (replace(HARDSHIP, recovered_after=[0.1, 5.1]), AFTER, "no mail was accepted within 5 s"),
        (replace(HARDSHIP, pids_after=frozenset({1, 3})), AFTER, "1 of 2 workers ended"),
        (replace(HARDSHIP, log=replace(LOG, longest=25.5)), AFTER, "a reply took 25.5 s"),
        (replace(HARDSHIP, log=replace(LOG, refused=Counter({"452": 9}))), AFTER, "was not felt"),
        (HARDSHIP, Outcome({}, ["a mail is lost"]), "a mail is lost"),
    ],
)
def test_what_must_not_be_is_a_finding(hardship: Hardship, after: Outcome, finding: str) -> None:
    [found] = judged(hardship, after).findings
    assert finding in found


ACCEPTS: Script = {"": b"220", "EHLO": b"250", "MAIL": b"250", "RCPT": b"250", "DATA": b"354", "text": b"250"}


@pytest.mark.parametrize(
    ("script", "refused"),
    [
        ({"": b"421"}, "421"),
        (ACCEPTS | {"MAIL": b"421"}, "421"),
        (ACCEPTS | {"text": b"421"}, "421"),
        (ACCEPTS | {"text": b"451"}, "451"),
        (ACCEPTS | {"text": b"452"}, "452"),
    ],
)
def test_a_temporary_refusal_is_counted_and_no_finding(script: Script, refused: str) -> None:
    with scripted_server(script) as address:
        probe = Probe(address, seed=1)
        assert not probe.accepted()
    assert probe.log.refused == Counter({refused: 1})
    assert not probe.log.findings
    assert not probe.log.broken


@pytest.mark.parametrize(
    ("script", "finding"),
    [
        (ACCEPTS | {"MAIL": b"451"}, "MAIL was answered b'451"),
        (ACCEPTS | {"text": b"550"}, "text was answered b'550"),
        (ACCEPTS | {"": b"554"}, "greeting was answered b'554"),
        (ACCEPTS | {"MAIL": b"421 twice"}, "after b'421"),
    ],
)
def test_any_other_answer_is_a_finding(script: Script, finding: str, tmp_path: Path) -> None:
    with scripted_server(script) as address:
        probe = Probe(address, seed=1)
        with pytest.raises(FaultError, match="what no client may"):
            probe.until_accepted(Surroundings(tmp_path, 1, "", 60.0))
    [found] = probe.log.findings
    assert finding in found


def test_a_connection_that_breaks_is_counted() -> None:
    """`under_load` makes a finding of the probe's."""
    with scripted_server(ACCEPTS | {"RCPT": b""}) as address:
        probe = Probe(address, seed=1)
        assert not probe.accepted()
    assert probe.log.broken == Counter({"RCPT": 1})


def test_each_place_is_a_case_and_the_quick_one_has_all_in_one_redis() -> None:
    assert [case.name for case in f03_killed_redis.cases(quick=False)] == [f"{place} in it" for place in PLACES]
    assert [case.name for case in f03_killed_redis.cases(quick=True)] == ["both in it"]
    assert set(FLUSHED.values()) == {"everysec", "always"}
