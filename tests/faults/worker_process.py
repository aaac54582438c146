"""A worker process without RoadRunner: the test hands it events, in any order, and reads its answers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rr_tcp.events import TcpEvent
from rr_tcp.relay import PipeRelay
from rr_tcp.testing import event_frame
from rr_tcp.testing.relay import STOP_FRAME, pid_frame
from tests.faults.stacks import Stores

ROOT: Final = Path(__file__).resolve().parents[2]

STOP_TIMEOUT: Final = 30.0
"""Seconds that a worker has to end."""


class WorkerProcess:
    """One worker of the mail service, as RoadRunner starts it, and its pipes.

    Args:
        process: the worker, whose standard input and output are pipes.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._relay = PipeRelay(os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno()))
        process.stdin.close()
        process.stdout.close()
        self._relay.send(pid_frame())
        assert self._relay.receive() is not None, "the worker ended before it told its pid"

    def hand(self, uuid: str, event: TcpEvent, body: bytes = b"") -> tuple[bytes, bytes]:
        """Hands over an event; what RoadRunner is to do, and what it is to write to the client."""
        self._relay.send(event_frame(event, body, server="smtp", uuid=uuid))
        answer = self._relay.receive()
        assert answer is not None, "the worker ended in an event"
        context = answer.options[0]
        return bytes(answer.payload[:context]), bytes(answer.payload[context:])

    def stop(self) -> None:
        """Tells it to end."""
        self._relay.send(STOP_FRAME)

    def close(self) -> None:
        """Closes the pipes, upon which it ends as well."""
        self._relay.close()


@contextlib.contextmanager
def running_worker(stores: Stores, log: Path) -> Iterator[WorkerProcess]:
    """A worker for the time of the block; it must end with 0 when it is told to."""
    settings = {"SESSION_STORE": stores.sessions, "MAIL_STORE": stores.mails, "RR_RELAY": "pipes", "RR_MODE": "tcp"}
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [sys.executable, "-m", "rr_tcp", "worker", "workers.smtp:build_app"],
            cwd=ROOT,
            env={**os.environ, "RR_RPC": "tcp://127.0.0.1:1", **settings},  # nobody calls it
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
        ) as process,
    ):
        try:
            with contextlib.closing(WorkerProcess(process)) as worker:
                yield worker
                worker.stop()
                code = process.wait(STOP_TIMEOUT)
        finally:
            process.kill()
    assert code == 0, f"the worker ended with {code}:\n{log.read_text(errors='replace')}"
