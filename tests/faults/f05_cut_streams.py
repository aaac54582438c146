"""F5: a client's bytes reach the server cut at every position, and in pieces of every kind of size."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from tests.faults.cuts import converse, cut_at, cut_in, each, told
from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.faults.ledger import StoredMail, read_mails
from tests.faults.stacks import Stack, running_stack, running_stores

SIZES: Final = (1, 2, 7, 1400)
"""Bytes of a piece: one, no more than CR LF, within a line, and what fits into a packet."""

CLIENTS: Final = 8

WORKERS: Final = 2

QUICK_STEP: Final = 5
"""The quick case cuts at one in so many positions."""

CASE_LIMIT: Final = 600.0

# Session store, mail store; what is cut makes no difference to the latter, so that RoadRunner KV is not among them.
COMBINATIONS: Final = (("lmdb", "sqlite"), ("redis", "redis"))

NAME: Final = b"c00000"
"""What the number of a connection is put for: as long as it is."""

TEXTS: Final = (
    b"Subject: dots\r\n\r\n.one\r\n..two\r\n\r\n.\xe4\xf6\xfc \x80\xff\r\nlast.\r\n",
    b"",
    b"Subject: long\r\n\r\n" + b"0123456789 and a dot.\r\n.\tat the start\r\n" * 80,
)

_BEFORE: Final = b"EHLO client.example.test\r\nNOOP\r\nMAIL FROM:<%s-never@a.test>\r\nRSET\r\nBOGUS\r\n" % NAME
_AFTER: Final = b"MAIL FROM:<no address\r\nVRFY someone\r\nQUIT\r\n"


def _mail(number: int, text: bytes) -> bytes:
    envelope = b"MAIL FROM:<%s-%d@a.test> BODY=8BITMIME\r\n" % (NAME, number)
    rcpts = b'RCPT TO:<b@a.test>\r\nRCPT TO:<>\r\nRCPT TO:<"a b"@[127.0.0.1]> NOTIFY=NEVER\r\n'
    stuffed = (b"\r\n" + text).replace(b"\r\n.", b"\r\n..")[2:]
    return envelope + rcpts + b"DATA\r\n" + stuffed + b".\r\n"


SHORT: Final = _BEFORE + b"".join(_mail(number, text) for number, text in enumerate(TEXTS[:2])) + _AFTER
"""What is cut at every position: commands right and wrong, two texts, no waiting."""

LONG: Final = _BEFORE + b"".join(_mail(number, text) for number, text in enumerate(TEXTS)) + _AFTER
"""What is cut in pieces of every size."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What one connection was told.

    Attributes:
        number: of the connection.
        how: its bytes were cut.
        replies: without what differs between connections.
        expected: how many mails it sent.
    """

    number: int
    how: str
    replies: bytes
    expected: int


def cases(quick: bool) -> Sequence[Case]:
    """Every position and every size, on LMDB and on Redis; or a fifth of the positions on LMDB."""
    if quick:
        return [Case("lmdb, one position in five", partial(run, *COMBINATIONS[0], QUICK_STEP), CASE_LIMIT)]
    return [
        Case(f"sessions in {sessions}, mails in {mails}", partial(run, sessions, mails, 1), CASE_LIMIT)
        for sessions, mails in COMBINATIONS
    ]


def run(sessions: str, mails: str, step: int, surroundings: Surroundings) -> Outcome:
    """One connection for each way to cut, each compared with one whose bytes came at once."""
    directory = surroundings.directory
    with running_stores(sessions, mails, directory) as stores:
        with running_stack(stores, directory, workers=WORKERS) as stack:
            ways = _ways(step, surroundings.seed)
            before = stack.events()
            answers = list(
                each(partial(_answered, stack, ways), range(len(ways)), CLIENTS, "connections", surroundings)
            )
            events = stack.events() - before
        return compare(answers, list(read_mails(stores.mails)), events)


def _ways(step: int, seed: int) -> Sequence[tuple[str, bytes, Sequence[bytes]]]:
    """How a connection's bytes are cut, the whole, and the pieces; the first two are whole."""
    positions = range(1 + seed % step, len(SHORT), step)
    return [
        ("not at all", SHORT, [SHORT]),
        ("not at all", LONG, [LONG]),
        *((f"at {position}", SHORT, cut_at(SHORT, position)) for position in positions),
        *((f"in pieces of {size}", LONG, cut_in(LONG, size)) for size in SIZES),
    ]


def _answered(stack: Stack, ways: Sequence[tuple[str, bytes, Sequence[bytes]]], number: int) -> Answered:
    how, whole, pieces = ways[number]
    name = name_of(number)
    # The name is put in before the cutting: it may be cut itself.
    renamed, start = whole.replace(NAME, name), 0
    sent = []
    for piece in pieces:
        sent.append(renamed[start : start + len(piece)])
        start += len(piece)
    replies = converse(stack.target.smtp, sent)
    return Answered(number, how, told(replies, name), 2 if whole is SHORT else 3)


def name_of(number: int) -> bytes:
    """What stands for `NAME` in a connection's bytes."""
    return b"c%05d" % number


def compare(answers: Sequence[Answered], stored: Sequence[StoredMail], events: int) -> Outcome:
    """Whether each connection was told, and has in the store, what one has whose bytes came at once."""
    short, long = answers[0].replies, answers[1].replies
    findings = [
        f"cut {answer.how}, other replies: {answer.replies[-300:]!r}"
        for answer in answers
        if answer.replies != (short if answer.expected == 2 else long)
    ]
    wanted = {
        f"{name_of(answer.number).decode()}-{mail}@a.test": hashlib.sha256(TEXTS[mail]).hexdigest()
        for answer in answers
        for mail in range(answer.expected)
    }
    found = Counter(mail.mail_from for mail in stored)
    ways = {f"{name_of(answer.number).decode()}": answer.how for answer in answers}
    for mail_from, times in (Counter(wanted.keys()) - found).items():
        findings.append(f"cut {_way(ways, mail_from)}, mail {mail_from} is not stored ({times})")
    superfluous = found - Counter(wanted.keys())
    findings += [f"mail {mail_from} is stored {found[mail_from]} times" for mail_from in superfluous]
    for mail in stored:
        right = ("b@a.test", '"a b"@[127.0.0.1]')
        if mail.sha256 != wanted.get(mail.mail_from) or mail.rcpt_tos != right:
            findings.append(
                f"cut {_way(ways, mail.mail_from)}, mail {mail.mail_from} is stored, but not as it was sent"
            )
    if not long.endswith(b"closing the connection\r\n") and b"\r\n221 " not in long:
        findings.append(f"even whole, the bytes were not answered to their end: {long[-300:]!r}")
    return Outcome(
        figures={
            "connections": f"{len(answers):,}",
            "events": f"{events:,}",
            "mails stored": f"{len(stored):,}",
            "other replies, other mails": "none" if not findings else "see below",
        },
        findings=findings[:_SHOWN],
    )


def _way(ways: Mapping[str, str], mail_from: str) -> str:
    return ways.get(mail_from.partition("-")[0], "?")


_SHOWN: Final = 10

FAULT: Final = Fault(
    id="F5",
    title="A client's bytes are cut at every position, and come in pieces of 1, 2, 7 and 1400 bytes",
    holds="the replies are the same, and so are the stored mails, as when all bytes come at once",
    cases=cases,
)
