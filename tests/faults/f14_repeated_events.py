"""F14: events come doubled, late, or once more: CLOSE twice, DATA after CLOSE, the end of a text again.

RoadRunner itself sends CLOSE, then DATA, then CLOSE when a client half-closes in the middle of a line (F13): the first
DATA after CLOSE is what the client said last, and counts; none after that does. RoadRunner hands an event to a second
worker only where the first had not begun it, or asked for that by a stop in place of an answer, which `rr_tcp` never
does. So here the test is RoadRunner, to two real workers on one store, and each event may go to either.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

from rr_tcp.events import TcpEvent
from tests.e2e.clients import dot_stuffed
from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.clients import Log
from tests.faults.dialogues import make_attempt
from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.faults.ledger import Attempt
from tests.faults.stacks import running_stores
from tests.faults.worker_process import WorkerProcess, running_worker

WORKERS: Final = 2

CONNECTIONS, QUICK_CONNECTIONS = 400, 40

BAD: Final = b"5"
"""What the replies begin with to the lines of a text that comes where commands are due; 421 ends that."""

CASE_LIMIT: Final = 300.0


@dataclass(slots=True)
class Repeats:
    """What was seen.

    Attributes:
        kinds: events that came once too often or too late, by kind.
        wrong: what was answered otherwise than it must be.
        attempts: mails that were sent, and those of events that came too late, which must not be stored.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    def note(self, kind: str, answer: tuple[bytes, bytes], right: bool) -> None:
        """Adds an event, and its answer if that was not right."""
        self.kinds[kind] += 1
        if not right:
            self.wrong.append(f"{kind} was answered {answer!r}")


def cases(quick: bool) -> Sequence[Case]:
    """400 connections on each store, or 40."""
    connections = QUICK_CONNECTIONS if quick else CONNECTIONS
    return [
        Case(f"sessions in {sessions}", partial(run, sessions, mails, connections), CASE_LIMIT)
        for sessions, mails in (("lmdb", "sqlite"), ("redis", "redis"))
    ]


def run(sessions: str, mails: str, connections: int, surroundings: Surroundings) -> Outcome:
    """One case: connections with one mail each, and then with what should not come."""
    random, repeats = Random(surroundings.seed), Repeats()  # noqa: S311 - the same events for the same seed
    output = surroundings.directory / "workers.log"
    with running_stores(sessions, mails, surroundings.directory) as stores:
        with ExitStack() as processes:
            workers = [processes.enter_context(running_worker(stores, output)) for _ in range(WORKERS)]
            for number in range(connections):
                surroundings.check()
                _Connection(workers, random, f"s{surroundings.seed}-{number}", repeats).go()
        log = Log(connections=connections, attempts=repeats.attempts)
        return with_aftermath(*judge(repeats), aftermath(stores, log, output.read_text(errors="replace")))


class _Connection:
    """A connection and its one mail, whose events each go to any worker."""

    def __init__(self, workers: Sequence[WorkerProcess], random: Random, name: str, repeats: Repeats) -> None:
        self._workers = workers
        self._random = random
        self._name = name
        self._repeats = repeats
        self._uuid = str(uuid.UUID(int=random.getrandbits(128), version=4))
        text = b"".join(random.randbytes(30).hex().encode() + b"\r\n" for _ in range(random.randint(1, 30)))
        self._text = dot_stuffed(text)
        self._rest_due = True
        self._attempt = make_attempt(random, f"{name}@example.test", text)

    def go(self) -> None:
        """Sends the mail, and then what should not come."""
        self._hand(TcpEvent.CONNECTED)
        self._hand(TcpEvent.DATA, _commands(self._attempt))
        self._attempt.sent = True
        _, self._attempt.reply = self._hand(TcpEvent.DATA, self._text)
        self._repeats.attempts.append(self._attempt)
        if self._random.random() < 0.5:
            answer = self._hand(TcpEvent.DATA, self._text)
            refused = all(line.startswith((BAD, b"421")) for line in answer[1].splitlines())
            self._repeats.note("the end of a text once more", answer, refused)
            self._rest_due = answer[0] == b"WRITE"  # else so many bad commands ended the session
        for _ in range(self._random.randint(1, 2)):
            self._hand(TcpEvent.CLOSE)
        for kind in self._random.choices(("CLOSE once more", "a whole mail after CLOSE", "a line after CLOSE"), k=4):
            self._late(kind)

    def _late(self, kind: str) -> None:
        """An event after CLOSE. Only the first bytes count, as the client's last."""
        if kind == "CLOSE once more":
            answer = self._hand(TcpEvent.CLOSE)
            self._repeats.note(kind, answer, answer == (b"CLOSE", b""))
            return
        mail = make_attempt(self._random, f"late-{len(self._repeats.attempts)}-{self._name}@example.test", b"")
        mail.sent = self._rest_due and "mail" in kind
        self._repeats.attempts.append(mail)
        answer = self._hand(TcpEvent.DATA, _commands(mail) + b".\r\n" if "mail" in kind else b"NOOP\r\n")
        if self._rest_due:
            last = answer[1].splitlines()[-1]
            mail.reply = last if mail.sent else b""
            self._repeats.note("what a half-closed client said last", answer, last[:3] == b"250")
        else:
            self._repeats.note(kind, answer, answer == (b"CLOSE", b""))
        self._rest_due = False

    def _hand(self, event: TcpEvent, body: bytes = b"") -> tuple[bytes, bytes]:
        return self._random.choice(self._workers).hand(self._uuid, event, body)


def _commands(attempt: Attempt) -> bytes:
    recipients = b"".join(b"RCPT TO:<%s>\r\n" % to.encode() for to in attempt.rcpt_tos)
    return b"EHLO c\r\nMAIL FROM:<%s>\r\n%sDATA\r\n" % (attempt.mail_from.encode(), recipients)


def judge(repeats: Repeats) -> tuple[dict[str, str], list[str]]:
    """The figures, and what does not hold."""
    findings = [f"{len(repeats.wrong)} answers were wrong: {repeats.wrong[0]}"] if repeats.wrong else []
    if refused := [attempt for attempt in repeats.attempts if attempt.sent and not attempt.acknowledged]:
        findings.append(f"{len(refused)} mails were not accepted: {refused[0].reply!r}")
    figures = {
        "events too many": ", ".join(f"{kind} {count:,}" for kind, count in sorted(repeats.kinds.items())),
        "answered wrongly": str(len(repeats.wrong)),
    }
    return figures, findings


FAULT: Final = Fault(
    id="F14",
    title="Events come doubled, late, or once more: CLOSE, DATA after CLOSE, the end of a text",
    holds=(
        "none begins a session anew or stores a mail a second time; what a half-closed client said last counts once, "
        "and all events after that are answered CLOSE, with nothing to write; every acknowledged mail is stored once, "
        "as sent; no session outlives its time"
    ),
    cases=cases,
)
