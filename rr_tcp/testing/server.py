"""The real server for tests, on ports that are free."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rr_tcp.errors import ServerError
from rr_tcp.server import RoadRunnerServer

READY_TIMEOUT = 30.0
"""Seconds until a server must answer its probes, on a slow machine under load."""

STOP_TIMEOUT = 45.0
"""Seconds until a server that was told to stop is killed: above any grace period that a test configures."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@contextlib.contextmanager
def roadrunner(
    binary: Path,
    config: Path,
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    probes: Sequence[Callable[[], None]],
    overrides: Sequence[str] = (),
) -> Iterator[RoadRunnerServer]:
    """A running server, stopped at the end of the block also when it fails.

    Args:
        binary: the server, e.g. `bin/rr`.
        config: its configuration file.
        cwd: its working directory.
        env: variables on top of this process's.
        log: file to which the server's output and the workers' stderr are appended.
        probes: what must pass before the block begins.
        overrides: `dot.notation=value` settings that replace the file's.

    Raises:
        ServerError: it did not start, or did not end with exit code 0 though the block did not kill it; its log is in
            the message.
    """
    with log.open("ab") as output:
        server = RoadRunnerServer(
            binary, config, cwd=cwd, env={**os.environ, **env}, output=output, overrides=overrides
        )
        server.start()
        try:
            server.wait_ready(probes, timeout=READY_TIMEOUT)
            yield server
        except BaseException as error:
            server.stop(timeout=STOP_TIMEOUT)
            error.add_note(_quoted(log))
            raise
        if (code := server.stop(timeout=STOP_TIMEOUT)) != 0 and not server.killed:
            raise ServerError(f"the server ended with exit code {code}\n{_quoted(log)}")


def _quoted(log: Path) -> str:
    return "--- the server's log ---\n" + log.read_text(errors="replace")
