"""F17: a client is silent until its session's time is over, in every state that SMTP has, and then goes on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from tests.e2e.clients import RawClient
from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.faults.ledger import StoredMail, read_mails
from tests.faults.stacks import SESSION_STORES, Stack, running_stack, running_stores

TTL: Final = 3
"""Seconds of a session without an event (SESSION_TTL)."""

SILENCE: Final = 1.5 * TTL
"""Seconds of silence: a session ends in time, not a second later."""

ALIVE: Final = TTL / 6
"""Seconds between two commands of those clients that are not silent, and must get through."""

EACH: Final = 5
"""Clients in each state."""

CASE_LIMIT: Final = 120.0

EXPIRED: Final = b"421 4.4.2 "
"""What a client is told whose session's time is over (RFC 3463: bad connection)."""

BEFORE: Final[Mapping[str, Sequence[bytes]]] = {
    "greeting": [],
    "EHLO": [b"EHLO c\r\n"],
    "MAIL": [b"EHLO c\r\n", b"MAIL FROM:<%s@a.test>\r\n"],
    "RCPT": [b"EHLO c\r\n", b"MAIL FROM:<%s@a.test>\r\n", b"RCPT TO:<b@a.test>\r\n"],
    "DATA": [b"EHLO c\r\n", b"MAIL FROM:<%s@a.test>\r\n", b"RCPT TO:<b@a.test>\r\n", b"DATA\r\n"],
    "text": [b"EHLO c\r\n", b"MAIL FROM:<%s@a.test>\r\n", b"RCPT TO:<b@a.test>\r\n", b"DATA\r\n", b"first line\r\n"],
    "a mail": [
        b"EHLO c\r\n",
        b"MAIL FROM:<%s-before@a.test>\r\n",
        b"RCPT TO:<b@a.test>\r\n",
        b"DATA\r\n",
        b"text\r\n.\r\n",
    ],
}
"""What a client sent before it fell silent, each waiting for its reply but the first line of a text."""

AFTER: Final[Mapping[str, bytes]] = {
    "greeting": b"EHLO c\r\nMAIL FROM:<%s@a.test>\r\nRCPT TO:<b@a.test>\r\nDATA\r\n",
    "EHLO": b"MAIL FROM:<%s@a.test>\r\nRCPT TO:<b@a.test>\r\nDATA\r\n",
    "MAIL": b"RCPT TO:<b@a.test>\r\nDATA\r\n",
    "RCPT": b"DATA\r\n",
    "DATA": b"text\r\n.\r\n",
    "text": b"last line\r\n.\r\n",
    "a mail": b"MAIL FROM:<%s@a.test>\r\nRCPT TO:<b@a.test>\r\nDATA\r\ntext\r\n.\r\n",
}
"""What it sends then: with a session as it was, or with a fresh one, some of it would have other replies."""


@dataclass(frozen=True, slots=True)
class Silent:
    """What came of one client.

    Attributes:
        name: in its senders.
        state: in which it fell silent.
        answer: everything that it was told afterwards, until the end of the connection.
    """

    name: str
    state: str
    answer: bytes


def cases(quick: bool) -> Sequence[Case]:
    """Each session store, or LMDB. What keeps the mails has no part in it."""
    stores = ["lmdb"] if quick else list(SESSION_STORES)
    return [Case(f"sessions in {store}", partial(run, store), CASE_LIMIT) for store in stores]


def run(sessions: str, surroundings: Surroundings) -> Outcome:
    """All clients are silent at the same time; one beside them is not."""
    directory = surroundings.directory
    with running_stores(sessions, "sqlite", directory) as stores:
        with running_stack(stores, directory, workers=2, env={"SESSION_TTL": str(TTL)}) as stack:
            silent, kept = _silent(stack, surroundings)
        return judge(silent, kept, list(read_mails(stores.mails)))


def _silent(stack: Stack, surroundings: Surroundings) -> tuple[list[Silent], bytes]:
    """What silent clients are told; and the reply to the mail of one that kept its session alive."""
    with contextlib.ExitStack() as connections:
        lively = connections.enter_context(RawClient(stack.target.smtp))
        lively.reply()
        began = time.monotonic()
        waiting = []
        for state in BEFORE:
            for number in range(EACH):
                client, name = (
                    connections.enter_context(RawClient(stack.target.smtp)),
                    f"{state.replace(' ', '-')}-{number}",
                )
                _advance(client, name, BEFORE[state])
                waiting.append((client, name, state))
                _keep(lively, began)
        surroundings.say(f"{len(waiting)} clients are silent for {SILENCE:g} s")
        until = time.monotonic() + SILENCE
        while time.monotonic() < until:
            surroundings.check()
            time.sleep(ALIVE)
            _keep(lively, began)
        silent = []
        for client, name, state in waiting:
            silent.append(Silent(name, state, _go_on(client, name, AFTER[state])))
            _keep(lively, began)
        _advance(lively, "lively", BEFORE["DATA"], greeted=True)
        return silent, lively.command(b"text\r\n.")


def _keep(client: RawClient, began: float) -> None:
    """Any event lets a session live on; its reply says whether it did."""
    reply = client.command(b"NOOP")
    if reply[:3] != b"250":
        raise AssertionError(f"a client that is not silent was told {reply!r} after {time.monotonic() - began:.1f} s")


def _advance(client: RawClient, name: str, steps: Sequence[bytes], *, greeted: bool = False) -> None:
    if not greeted:
        client.reply()
    for step in steps:
        client.send(step.replace(b"%s", name.encode()))
        if step != b"first line\r\n":
            reply = client.reply()
            assert reply[:1] in b"23", (step, reply)


def _go_on(client: RawClient, name: str, data: bytes) -> bytes:
    with contextlib.suppress(ConnectionError):
        client.send(data.replace(b"%s", name.encode()))
    try:
        return client.rest()
    except ConnectionError:
        return b""


def judge(silent: Sequence[Silent], kept: bytes, stored: Sequence[StoredMail]) -> Outcome:
    """Whether each silent client was told so, and nothing of what it sent then was done."""
    findings = [
        f"silent after {client.state}, then told {client.answer[:200]!r}"
        for client in silent
        if not client.answer.startswith(EXPIRED) or client.answer.count(b"\r\n") != 1
    ]
    senders = [mail.mail_from for mail in stored]
    right = [f"{client.name}-before@a.test" for client in silent if client.state == "a mail"]
    if sorted(senders) != sorted([*right, "lively@a.test"]):
        findings.append(f"the mails that are stored are of {sorted(senders)}")
    if kept[:3] != b"250":
        findings.append(f"the client that kept its session alive was told {kept!r}")
    states = {client.state for client in silent}
    before, during = set(senders) & set(right), set(senders) - {*right, "lively@a.test"}
    return Outcome(
        figures={
            "silent clients, states": f"{len(silent)}, {len(states)}",
            "told 421": str(sum(client.answer.startswith(EXPIRED) for client in silent)),
            "mails before, during": f"{len(before)}, {len(during)}",
            "a client that is not silent": kept[:3].decode() or "no reply",
        },
        findings=findings,
    )


FAULT: Final = Fault(
    id="F17",
    title="A session's time is over in the middle of a dialogue",
    holds=(
        "the client is told 421 with its next byte that needs the session, in a text too, and nothing of what it sends "
        "is done in a fresh one; a mail that was acknowledged stays; whoever is not silent that long goes on"
    ),
    cases=cases,
)
