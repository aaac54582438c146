"""A million events through one worker process: `python -m tests.fuzz.memory --events 1000000`.

This process is RoadRunner to a real worker: it answers the handshake on its pipes, sends events and reads the answers.
Connections come and go, with mails, JSON lines, coroutines, failing handlers, unknown servers and late events.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rr_tcp.frame import Frame
from rr_tcp.relay import PipeRelay
from rr_tcp.testing import event_frame
from rr_tcp.testing.relay import STOP_FRAME, pid_frame

ROOT = Path(__file__).resolve().parents[2]

WARM_UP = 0.1
"""Part of the events before the first measurement: caches and the store's map have grown by then."""

MAILS = 1000
"""Connections per mail that is stored, since each is synced to the disk."""

_BATCH = 128
"""Events under way at a time: more than RoadRunner sends, few enough that the answers fit a pipe's 64 KiB."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the worker took.

    Attributes:
        events: how many it answered.
        before: kilobytes of its own memory after the warm-up.
        after: kilobytes at the end.
        seconds: how long it took.
    """

    events: int
    before: int
    after: int
    seconds: float

    @property
    def growth(self) -> int:
        """Kilobytes that it grew."""
        return self.after - self.before


def _connection(number: int) -> Iterator[tuple[str, str, bytes, bytes]]:
    """One connection's events: server, event, body, and how the answer begins."""
    yield "smtp", "CONNECTED", b"", b"WRITE220 "
    yield "smtp", "DATA", b"EHLO c.test\r\nNOOP\r", b"WRITE250-"
    yield "smtp", "DATA", b"\nMAIL FROM:<a@b.test>\r\n", b"WRITE250 "
    yield "smtp", "DATA", b"RCPT TO:<c@d.test>\r\nDATA\r\n", b"WRITE250 "
    if number % MAILS:
        yield "smtp", "DATA", b"\0 refused\r\n" * 20, b"CONTINUE"
        yield "smtp", "DATA", b".\r\nRSET\r\n", b"WRITE5"
    else:
        yield "smtp", "DATA", b"Subject: hello\r\n\r\n" + b"x\r\n" * 500, b"CONTINUE"
        yield "smtp", "DATA", b".\r\n", b"WRITE250 "
    if number % 2:
        yield "smtp", "DATA", b"QUIT\r\n", b"WRITECLOSE221 "
    yield "smtp", "CLOSE", b"", b"CLOSE"
    if number % 10 == 0:
        yield "echo", "DATA", b"without a session\n", b'WRITECLOSE{"error":"session expired"}'
    yield "echo", "CONNECTED", b"", b"CONTINUE"
    for _ in range(4):
        yield "echo", "DATA", b"one\ntw", b"WRITE{"
        yield "echo", "DATA", b"o\n\xff\n", b"WRITE{"
    yield "echo", "CLOSE", b"", b"CLOSE"
    yield "echo", "DATA", b"the rest", b"WRITECLOSE{"
    yield "echo", "CLOSE", b"", b"CLOSE"
    yield "coroutine", "DATA", b"x\n", b"WRITEx\n"
    if number % 10 == 0:
        yield "broken", "DATA", b"x\n", b"WRITECLOSESomething went wrong"
        yield "nobodys", "CONNECTED", b"", b"CLOSE"


def _events() -> Iterator[tuple[Frame, bytes]]:
    for number in itertools.count():
        for server, event, body, answer in _connection(number):
            yield event_frame(event, body, server=server, uuid=f"{number:08x}-{server}"), answer


def private_memory(pid: int) -> int:
    """Kilobytes that a process holds for itself: without files, which LMDB's map is."""
    status = Path(f"/proc/{pid}/status").read_text()
    [value] = re.findall(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    return int(value)


def measure(events: int, directory: Path) -> Measurement:
    """Sends events to a worker of its own and checks each answer.

    Args:
        events: how many after the warm-up.
        directory: for the session store and the mails.
    """
    env = {
        **os.environ,
        "RR_MODE": "tcp",
        "RR_RELAY": "pipes",
        "SESSION_STORE": f"lmdb://{directory}/sessions",
        "MAIL_STORE": f"sqlite:///{directory}/mail.db",
    }
    command = [sys.executable, "-m", "rr_tcp", "worker", "tests.fuzz.memory_app:build_app"]
    pipe, devnull = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=devnull) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        relay = PipeRelay(os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno()))
        try:
            relay.send(pid_frame())
            assert relay.receive() == Frame(b'{"pid":%d}' % process.pid, 9)
            source = _events()
            _exchange(process.stdin, relay, source, int(events * WARM_UP))
            before, started = private_memory(process.pid), time.monotonic()
            _exchange(process.stdin, relay, source, events)
            after, seconds = private_memory(process.pid), time.monotonic() - started
            relay.send(STOP_FRAME)
            assert process.wait(30) == 0
        finally:
            process.kill()
            relay.close()
    return Measurement(events, before, after, seconds)


def _exchange(requests: IO[bytes], relay: PipeRelay, source: Iterator[tuple[Frame, bytes]], events: int) -> None:
    for start in range(0, events, _BATCH):
        batch = list(itertools.islice(source, min(_BATCH, events - start)))
        requests.write(b"".join(frame.encode() for frame, _ in batch))
        requests.flush()
        for frame, expected in batch:
            answer = relay.receive()
            assert answer is not None, "the worker ended"
            assert answer.payload.startswith(expected), (frame, answer)


def main() -> int:
    """The exit code: 1 when the worker's memory grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.memory")
    parser.add_argument("--events", type=int, default=1_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        result = measure(args.events, Path(directory))
    sys.stdout.write(
        f"memory         {result.events:>9,} events in {result.seconds:.0f} s, {result.before:,} kB of private memory "
        f"before, {result.after:,} kB after\n"
    )
    return 0 if flat(result) else 1


def flat(result: Measurement) -> bool:
    """Whether the memory is as flat as can be told: pages come and go, and one byte per event is no object."""
    return result.growth <= 1024 + result.events // 1024


if __name__ == "__main__":
    sys.exit(main())
