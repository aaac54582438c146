"""A small run of the differential test, and whether it would find anything at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from services.smtp import replies, sequence
from services.smtp.replies import Reply
from services.smtp.state import SmtpState
from tests.differential.__main__ import report
from tests.differential.compare import Exchange, compare, steps_of
from tests.differential.dialogues import Dialogue
from tests.differential.roadrunner import RealServer, compare_streams
from tests.differential.rule import Rule
from tests.differential.rules import RULES, explain
from tests.differential.run import Finding, Runner, dialogues

DIALOGUES = 150
ON_ROADRUNNER = 20
SEED = 1


@pytest.fixture
def runner() -> Iterator[Runner]:
    logging.disable(logging.CRITICAL)  # what hooks raise on purpose, and every unknown command
    with Runner() as runner:
        yield runner
    logging.disable(logging.NOTSET)


def first_finding(runner: Runner, count: int = DIALOGUES) -> Finding | None:
    for name, dialogue in islice(dialogues(SEED), count):
        finding, _ = runner.run(dialogue, name)
        if finding is not None:
            return finding
    return None


def test_dialogues_give_no_difference_that_no_rule_explains(runner: Runner) -> None:
    finding = first_finding(runner)
    assert finding is None, report(finding, runner)
    assert runner.mails > DIALOGUES / 2, "the dialogues are worth nothing without mails that both servers take"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_explains_its_example_and_is_the_only_one_to(rule: Rule, runner: Runner) -> None:
    dialogue = Dialogue(steps_of(rule.example), hooked=rule.hooked)
    seen = [
        result for result in compare(dialogue, runner.loop, runner.pools[rule.hooked]) if isinstance(result, Exchange)
    ]
    assert seen, "both servers agree"
    assert [explain(exchange) for exchange in seen][-1] is rule, seen[-1]
    others = [other.name for other in RULES if other is not rule and other.explains(seen[-1])]
    assert others == [] or RULES.index(rule) < min(RULES.index(other) for other in RULES if other.name in others)


def test_no_two_rules_have_one_name() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_dialogues_give_the_same_on_the_real_server(runner: Runner, tmp_path: Path) -> None:
    streams = []
    for name, dialogue in dialogues(SEED):
        finding, transcript = runner.run(dialogue, name)
        assert finding is None, report(finding, runner)
        if not dialogue.hooked:
            streams.append((name, runner.ended(transcript)))
        if len(streams) == ON_ROADRUNNER:
            break
    with RealServer(tmp_path) as server:
        assert compare_streams(server, streams) == []


def _allows_a_second_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sequence.SEQUENCE, "MAIL", {})


def _forgets(monkeypatch: pytest.MonkeyPatch, field: str, value: object) -> None:
    """Whatever is assigned to the field of a session, it stays as it is in a new one."""

    def assign(state: SmtpState, name: str, new: object) -> None:
        msgspec.Struct.__setattr__(state, name, value if name == field else new)

    monkeypatch.setattr(SmtpState, "__setattr__", assign)


def _loses_the_beginning_of_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _forgets(monkeypatch, "partial", b"")


def _has_no_limit_of_mails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like aiosmtpd, so only the model can tell."""
    _forgets(monkeypatch, "mails", 0)


def _answers_another_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "RECIPIENT_OK", Reply.of(251, "2.1.5", "Recipient OK"))


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (_allows_a_second_mail, "difference"),
        (_answers_another_code, "difference"),
        (_has_no_limit_of_mails, "model"),
        (_loses_the_beginning_of_a_line, "pieces"),
    ],
)
def test_a_fault_of_the_service_is_found_and_made_small(
    damage: Callable[[pytest.MonkeyPatch], None], kind: str, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(monkeypatch)
    finding = first_finding(runner, 500)
    assert finding is not None
    text = report(finding, runner)
    assert text.startswith(kind), text
    assert text.count("\n    b'") <= 22, text
