r"""F8: a text with something like its end in it, and a mail behind that, must never become two mails.

Servers that take `\n.\n` or the like for the end of a text let whoever writes a mail write a second one, with any
sender, behind the back of a server before them that took the whole for one text (SMTP smuggling, CVE-2023-51764).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from tests.faults.cuts import converse, cut_at, each, told
from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.faults.ledger import StoredMail, read_mails
from tests.faults.stacks import Stack, running_stack, running_stores
from tests.support.fake_ends import FAKE_ENDS

END: Final = b"\r\n.\r\n"
"""What it does end in: with this the second mail must be found, else the case would find none whatever happened."""

MODES: Final[Mapping[str, bytes]] = {"reject": b"5", "normalize": b"2"}
"""What SMTP_BARE_NEWLINES may be, and what the reply to a text with a bare CR or LF begins with."""

CLIENTS: Final = 8

WORKERS: Final = 2

QUICK_STEP: Final = 6
"""The quick case cuts at one in so many positions."""

CASE_LIMIT: Final = 600.0

NAME: Final = b"s00000"
"""What the number of a connection is put for: as long as it is."""

_BEFORE: Final = b"EHLO c\r\nMAIL FROM:<%s@a.test>\r\nRCPT TO:<b@a.test>\r\nDATA\r\nbefore" % NAME
_BEHIND: Final = b"MAIL FROM:<%s-smuggled@a.test>\r\nRCPT TO:<b@a.test>\r\nDATA\r\nbehind\r\n.\r\nQUIT\r\n" % NAME


@dataclass(frozen=True, slots=True)
class Smuggled:
    """What came of one connection.

    Attributes:
        number: of the connection.
        end: what was in the text.
        place: where its bytes were cut; 0 when they came at once.
        replies: without what differs between connections.
    """

    number: int
    end: bytes
    place: int
    replies: bytes


def cases(quick: bool) -> Sequence[Case]:
    """Both modes, cut at every byte or at one in six."""
    step = QUICK_STEP if quick else 1
    return [Case(f"SMTP_BARE_NEWLINES={mode}", partial(run, mode, step), CASE_LIMIT) for mode in MODES]


def run(mode: str, step: int, surroundings: Surroundings) -> Outcome:
    """One connection for each text and each place where it is cut."""
    directory = surroundings.directory
    with running_stores("lmdb", "sqlite", directory) as stores:
        with running_stack(stores, directory, workers=WORKERS, env={"SMTP_BARE_NEWLINES": mode}) as stack:
            ways = _ways(step, surroundings.seed)
            tried = list(each(partial(_tried, stack, ways), range(len(ways)), CLIENTS, "connections", surroundings))
        return judge(mode, tried, list(read_mails(stores.mails)))


def _ways(step: int, seed: int) -> Sequence[tuple[bytes, int]]:
    """What is in the text, and where it is cut: everywhere in `FAKE_ENDS` and around, elsewhere at every `step`."""
    ways = []
    for end in (*FAKE_ENDS, END):
        whole, near = len(stream(0, end)), range(len(_BEFORE) - 1, len(_BEFORE) + len(end) + 2)
        places = {0, *near, *range(1 + seed % step, whole, step)}
        ways += [(end, place) for place in sorted(places)]
    return ways


def stream(number: int, end: bytes) -> bytes:
    """All bytes of a connection."""
    return (_BEFORE + end + _BEHIND).replace(NAME, b"s%05d" % number)


def _tried(stack: Stack, ways: Sequence[tuple[bytes, int]], number: int) -> Smuggled:
    end, place = ways[number]
    data = stream(number, end)
    replies = converse(stack.target.smtp, cut_at(data, place) if place else [data])
    return Smuggled(number, end, place, told(replies, b"s%05d" % number))


def judge(mode: str, tried: Sequence[Smuggled], stored: Sequence[StoredMail]) -> Outcome:
    """Whether any text became two mails, or was answered in two ways."""
    senders = Counter(mail.mail_from for mail in stored)
    whole = {one.end: one.replies for one in tried if not one.place}
    findings, seen = [], 0
    for one in tried:
        first, second = (senders.pop(f"s{one.number:05d}{what}@a.test", 0) for what in ("", "-smuggled"))
        if one.end == END:
            seen += first == second == 1
            continue
        where = f"{one.end!r}, cut at {one.place}"
        if second or first > 1:
            findings.append(f"{where}: {first + second} mails out of one")
        if bool(first) != (_answer(one.replies)[:1] == b"2"):
            findings.append(f"{where}: {first} mails are stored, the client was told {_answer(one.replies)!r}")
        if _answer(one.replies)[:1] != expected(mode, one.end):
            findings.append(f"{where}: the text was answered {_answer(one.replies)!r}")
        if one.replies != whole[one.end]:
            findings.append(f"{where}: other replies than to the whole: {one.replies!r}")
    controls = sum(one.end == END for one in tried)
    if seen != controls:
        findings.append(f"of {controls} texts that did end there, {seen} became two mails: the others were not noticed")
    if senders:
        findings.append(f"mails that nobody sent: {dict(senders)}")
    return Outcome(
        figures={
            "texts": f"{len(tried) - controls:,}",
            "two mails out of one": "none" if not findings else "see below",
            "two mails out of two, noticed": f"{seen:,} of {controls:,}",
        },
        findings=findings[:_SHOWN],
    )


def expected(mode: str, end: bytes) -> bytes:
    """The first digit of the reply to a text: a NUL is refused in any mode, a bare CR or LF in one."""
    if b"\0" in end:
        return b"5"
    bare = re.search(rb"\r(?!\n)|(?<!\r)\n", end + b"MAIL")
    return MODES[mode] if bare else b"2"


def _answer(replies: bytes) -> bytes:
    """The reply to the text, which is the one after 354."""
    return re.sub(rb"(?s)\A.*?^354 [^\n]*\n", b"", replies, count=1, flags=re.MULTILINE).partition(b"\n")[0]


_SHOWN: Final = 10

FAULT: Final = Fault(
    id="F8",
    title="A text has something like its end in it, and a mail behind that",
    holds=(
        "one text is one mail or none, whatever it has in it and wherever its bytes are cut; both is told to the client"
    ),
    cases=cases,
)
