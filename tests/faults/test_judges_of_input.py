"""What the faults of input and events, and the soak, take for a failure: what holds, and each way in which it fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from random import Random

import pytest

from tests.faults import f07_endless_streams as f07
from tests.faults import f13_odd_clients as f13
from tests.faults import f14_repeated_events as f14
from tests.faults import f18_soak as f18
from tests.faults.dialogues import make_attempt
from tests.faults.fault import FaultError
from tests.faults.oddities import ODDITIES

MIB = f07.MIB
STREAMS = f07.Streams(worker=100 * MIB, sent=100 * MIB, before=50 * MIB, most=450 * MIB, later=300 * MIB)
MANY = make_attempt(Random(1), "s1-many-0@example.test", b"")  # noqa: S311 - the same in every run
MAIL = replace(MANY, mail_from="a@x.test", sent=True, reply=b"250 OK\r\n")


def test_endless_streams() -> None:
    figures, findings = f07.judge(STREAMS)
    assert not findings
    assert figures["memory for each MB without LF"] == "4.0 MB"


@pytest.mark.parametrize(
    ("streams", "finding"),
    [
        (replace(STREAMS, wrong=["a line was answered b''"] * 2), "2 times: a line was answered b''"),
        (replace(STREAMS, worker=400 * MIB), "a worker took 400 MiB"),
        (replace(STREAMS, most=1150 * MIB), "RoadRunner took 11.0 bytes for each byte"),
    ],
)
def test_endless_streams_that_harm(streams: f07.Streams, finding: str) -> None:
    [found] = f07.judge(streams)[1]
    assert finding in found


def test_odd_clients() -> None:
    odd = f13.Odd()
    for oddity in ODDITIES:
        f13.note(odd, oddity, list(oddity.codes))
    assert f13.judge(odd, Counter(), set())[1] == []
    assert odd.kinds.total() == len(ODDITIES)


def test_an_odd_client_that_is_answered_otherwise_is_found() -> None:
    odd = f13.Odd()
    f13.note(odd, ODDITIES[0], ["220", "250", "451"])
    [found] = f13.judge(odd, Counter(), set())[1]
    assert found == "1 times: half-close after QUIT was answered 220 250 451, not 220 250 221"


@pytest.mark.parametrize(
    ("odd", "broken", "lost", "finding"),
    [
        (f13.Odd(), {"RCPT": 1}, set[int](), "1 connections that kept to the protocol broke (RCPT)"),
        (f13.Odd(), {}, {7}, "1 workers ended"),
        (f13.Odd(attempts=[MANY]), {}, set[int](), "1 mails with too many recipients were not accepted"),
    ],
)
def test_odd_clients_that_harm(odd: f13.Odd, broken: Mapping[str, int], lost: set[int], finding: str) -> None:
    [found] = f13.judge(odd, Counter(broken), lost)[1]
    assert finding in found


def test_repeated_events() -> None:
    repeats = f14.Repeats(attempts=[MAIL])
    repeats.note("CLOSE once more", (b"CLOSE", b""), right=True)
    assert f14.judge(repeats)[1] == []


def test_repeated_events_that_harm() -> None:
    repeats = f14.Repeats(attempts=[replace(MAIL, reply=b"451 no\r\n")])
    repeats.note("a line after CLOSE", (b"WRITE", b"250 OK\r\n"), right=False)
    wrong, refused = f14.judge(repeats)[1]
    assert wrong.startswith("1 answers were wrong: a line after CLOSE was answered")
    assert "1 mails were not accepted" in refused


def soak(**grown: float) -> f18.Soak:
    """Flat, but for what grows by so much over the whole time."""
    seen = f18.Soak(seconds=[float(second) for second in range(101)], pids={1, 2}, left=0)
    for what in f18.TOLERATED:
        seen.samples[what] = [
            100.0 * MIB + grown.get(what.replace(" ", "_"), 0) * second / 100 for second in range(101)
        ]
    return seen


def test_a_flat_soak() -> None:
    assert f18.judge(soak(), 0)[1] == []
    assert f18.judge(soak(memory_of_a_worker=5 * MIB), 0)[1] == []


@pytest.mark.parametrize("what", list(f18.TOLERATED))
def test_everything_that_grows_in_a_soak_is_found(what: str) -> None:
    grown = 1.5 * f18.TOLERATED[what]
    [found] = f18.judge(soak(**{what.replace(" ", "_"): grown}), 0)[1]
    assert found.startswith(f"{what}: grew by")
    assert f18.judge(soak(**{what.replace(" ", "_"): grown}), 0, factor=3)[1] == []


def test_growth_in_the_warm_up_does_not_count() -> None:
    seen = soak()
    seen.samples["sessions"] = [min(second, 20) * 100.0 for second in range(101)]
    assert f18.judge(seen, 0)[1] == []


@pytest.mark.parametrize(
    ("seen", "broken", "finding"),
    [
        (replace(soak(), pids={1, 2, 3}), 0, "3 workers were seen"),
        (replace(soak(), left=4), 0, "4 sessions are left"),
        (soak(), 2, "2 connections broke"),
    ],
)
def test_a_soak_that_harms(seen: f18.Soak, broken: int, finding: str) -> None:
    [found] = f18.judge(seen, broken)[1]
    assert finding in found


def test_a_soak_without_samples_proves_nothing() -> None:
    with pytest.raises(FaultError, match="only 3 samples"):
        f18.judge(replace(soak(), seconds=[1.0, 2.0, 3.0]), 0)
