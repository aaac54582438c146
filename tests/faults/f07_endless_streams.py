"""F7: lines that are too long, mails that are too big, and a stream in which no line ever ends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from rr_tcp.frame import MAX_PAYLOAD
from tests.e2e.clients import RawClient
from tests.e2e.targets import Address
from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.bystanders import Bystanders
from tests.faults.clients import Clients
from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.faults.stacks import Stack, peak_memory, resident, running_stack, running_stores
from tests.support.waiting import wait_until

WORKERS, CLIENTS, BYSTANDERS = 2, 2, 5

MIB: Final = 2**20

MAX_SIZE: Final = 2 * MIB
"""SMTP_MAX_SIZE here."""

BODY, QUICK_BODY = 64 * MIB, 16 * MIB
"""Bytes of a text that is far too big."""

STREAM, QUICK_STREAM = 128 * MIB, 32 * MIB
"""Bytes of the stream without LF that is ended by one; a worker takes it as one event."""

MORE_THAN_AN_EVENT: Final = MAX_PAYLOAD + 16 * MIB
"""Bytes of one that no worker takes."""

WORKER_CAP: Final = MAX_PAYLOAD + 96 * MIB
"""Memory of a worker at most: one event of the largest size, and what it has anyway."""

SERVER_FACTOR: Final = 10.0
"""Memory of RoadRunner at most for each byte that was sent without LF: it doubles its buffer whenever that is full, and
copies what it has to the worker. It has no limit of its own; this one says when the documentation is wrong."""

CHUNK: Final = bytes(b"x" * MIB)

TOO_LONG: Final[Sequence[tuple[str, bytes, Sequence[str]]]] = [
    ("a command of 600 bytes", b"NOOP " + b"x" * 600 + b"\r\n", ("500",)),
    ("a command of 1 MB", b"NOOP " + b"x" * 1_000_000 + b"\r\n", ("500",)),
    ("a declared size over the limit", b"EHLO c\r\nMAIL FROM:<a@x.test> SIZE=%d\r\n" % (MAX_SIZE + 1), ("250", "552")),
    (
        "a text line of 2,000 bytes",
        b"EHLO c\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n" + b"x" * 2000 + b"\r\n.\r\n",
        ("250", "250", "250", "354", "500"),
    ),
]
"""What is too long, and the codes that it gets; the session goes on."""

TIMES, QUICK_TIMES = 50, 5

CASE_LIMIT: Final = 600.0


@dataclass(slots=True)
class Streams:
    """What was seen.

    Attributes:
        kinds: how often each thing was sent.
        wrong: what was answered otherwise than it must be.
        worker: the most memory that any worker ever had.
        sent: bytes of the stream without LF.
        before: memory of RoadRunner before it.
        most: the most of it, while the stream came and was handed over.
        later: its memory some seconds after the connection ended.
        whole_after: seconds until the pool was whole again after an event that no worker takes; None if none was sent.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    worker: int = 0
    sent: int = 0
    before: int = 0
    most: int = 0
    later: int = 0
    whole_after: float | None = None


def cases(quick: bool) -> Sequence[Case]:
    """Both on each store; the short choice has one, smaller streams, and none that no worker takes."""
    return [
        Case(f"sessions in {sessions}", partial(run, sessions, mails, quick), CASE_LIMIT)
        for sessions, mails in (("lmdb", "sqlite"), ("redis", "redis"))[: 1 if quick else None]
    ]


def run(sessions: str, mails: str, quick: bool, surroundings: Surroundings) -> Outcome:
    """One case: what is too long, too big, and without an end, beside clients that keep to the limits."""
    directory, seen = surroundings.directory, Streams()
    env = {"SMTP_MAX_SIZE": str(MAX_SIZE)}
    with running_stores(sessions, mails, directory) as stores:
        with running_stack(stores, directory, workers=WORKERS, env=env) as stack:
            with Bystanders(stack, BYSTANDERS, surroundings.seed) as bystanders:
                with Clients(stack.target.smtp, CLIENTS, surroundings.seed) as clients:
                    for _ in range(QUICK_TIMES if quick else TIMES):
                        surroundings.check()
                        for what, data, codes in TOO_LONG:
                            _send(stack.target.smtp, what, data, codes, seen)
                    _too_big(stack.target.smtp, QUICK_BODY if quick else BODY, seen)
                    surroundings.say("lines and sizes are done; now a stream without LF")
                    _endless(stack, QUICK_STREAM if quick else STREAM, seen, surroundings)
                seen.wrong += [f"another connection broke ({what})" for what in clients.log.broken]
                log = clients.log
                log.add(bystanders.finish())
            seen.worker = max(peak_memory(worker.pid) for worker in stack.pool())
            if not quick:
                _more_than_an_event(stack, seen, surroundings)
        after = aftermath(stores, log, stack.target.log())
    return with_aftermath(*judge(seen), after)


def _send(address: Address, what: str, data: bytes, codes: Sequence[str], seen: Streams) -> None:
    """Sends something, and then asks whether the session goes on."""
    seen.kinds[what] += 1
    with RawClient(address) as client:
        client.send(data + b"NOOP\r\nQUIT\r\n")
        replies = [line[:3].decode() for line in client.rest().splitlines() if line[3:4] != b"-"]
    if replies != (expected := ["220", *codes, "250", "221"]):
        seen.wrong.append(f"{what} was answered {' '.join(replies)}, not {' '.join(expected)}")


def _too_big(address: Address, size: int, seen: Streams) -> None:
    """A text far over the limit, whose size nobody declared: read to its end, dropped, and refused."""
    what = f"a text of {size // MIB} MiB"
    line = b"x" * 76 + b"\r\n"
    lines = line * (MIB // len(line))
    text = (lines for _ in range(0, size, len(lines)))
    seen.kinds[what] += 1
    with RawClient(address) as client:
        client.reply()
        for command in (b"EHLO c", b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@x.test>", b"DATA"):
            client.command(command)
        client.send(*text, b".\r\n")
        reply = client.reply()
        after = client.command(b"NOOP")
    if (reply[:3], after[:3]) != (b"552", b"250"):
        seen.wrong.append(f"{what} was answered {reply!r}, and NOOP {after!r}")


def _endless(stack: Stack, size: int, seen: Streams, surroundings: Surroundings) -> None:
    """Measures what RoadRunner takes for a stream without LF, and what comes of it when there is one at last."""
    seen.sent, seen.before = size, resident(stack.server)
    with RawClient(stack.target.smtp) as client:
        client.reply()
        for _ in range(0, size, MIB):
            surroundings.check()
            client.send(CHUNK)
            seen.most = max(seen.most, resident(stack.server))
        surroundings.say(f"{size // MIB} MiB sent, RoadRunner has {seen.most // MIB} MiB")
        client.send(b"\r\n")
        reply = client.reply()
        seen.most = max(seen.most, resident(stack.server))
        if reply[:3] != b"500":
            seen.wrong.append(f"a line of {size // MIB} MiB was answered {reply!r}")
    seen.later = _lowest(stack, 5.0)


def _lowest(stack: Stack, seconds: float) -> int:
    until, lowest = time.monotonic() + seconds, resident(stack.server)
    while time.monotonic() < until:
        lowest = min(lowest, resident(stack.server))
        time.sleep(0.1)
    return lowest


def _more_than_an_event(stack: Stack, seen: Streams, surroundings: Surroundings) -> None:
    """A stream that no worker takes as one event: the connection ends, and the worker with it; another takes over."""
    before = {worker.pid for worker in stack.pool()}
    with RawClient(stack.target.smtp) as client:
        client.reply()
        for _ in range(0, MORE_THAN_AN_EVENT, MIB):
            surroundings.check()
            client.send(CHUNK)
        client.send(b"\r\n")
        try:
            reply = client.reply()
        except ConnectionError:
            reply = b""
    began = time.monotonic()
    if reply:
        seen.wrong.append(f"a line of {MORE_THAN_AN_EVENT // MIB} MiB was answered {reply!r}")
    wait_until(lambda: stack.whole(()) and not before <= {worker.pid for worker in stack.pool()}, "a whole pool")
    seen.whole_after = time.monotonic() - began


def judge(seen: Streams) -> tuple[dict[str, str], list[str]]:
    """The figures, and what does not hold."""
    findings = [f"{count} times: {what}" for what, count in Counter(seen.wrong).items()]
    if seen.worker > WORKER_CAP:
        findings.append(f"a worker took {seen.worker // MIB} MiB, more than {WORKER_CAP // MIB}")
    factor = (seen.most - seen.before) / seen.sent
    if factor > SERVER_FACTOR:
        findings.append(f"RoadRunner took {factor:.1f} bytes for each byte without LF")
    figures = {
        "too long or too big": ", ".join(f"{what} {count}" for what, count in seen.kinds.items()),
        "answered wrongly": str(len(seen.wrong)),
        "worker's memory at most": f"{seen.worker // MIB} MiB",
        "stream without LF": f"{seen.sent // MIB} MiB",
        "RoadRunner's memory before, at most, 5 s later": ", ".join(
            f"{size // MIB} MiB" for size in (seen.before, seen.most, seen.later)
        ),
        "memory for each MB without LF": f"{factor:.1f} MB",
        f"after a line of {MORE_THAN_AN_EVENT // MIB} MiB the pool is whole in": (
            "-" if seen.whole_after is None else f"{seen.whole_after:.1f} s"
        ),
    }
    return figures, findings


FAULT: Final = Fault(
    id="F7",
    title="Lines that are too long, mails that are too big, streams without the end of a line",
    holds=(
        "500 or 552, and the session goes on; a worker takes no more memory than for one event; no other connection "
        "breaks; every acknowledged mail is stored once, as sent. What RoadRunner takes has no limit, and is measured"
    ),
    cases=cases,
)
