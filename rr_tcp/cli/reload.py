"""New code for running workers, if it is any good."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rr_tcp.cli.check import check_app
from rr_tcp.cli.loading import AppReference
from rr_tcp.cli.pool import RESET_TIMEOUT, replace_workers
from rr_tcp.cli.watch import CodeWatcher
from rr_tcp.errors import ConfigurationError, RRTcpError
from rr_tcp.limits import ConnectionLimits

INTERVAL = 0.3
"""Seconds between two looks at the files; a change is one when two looks in a row see the same."""


class Reloader:
    """Replaces the workers when the code has changed, after a check; RoadRunner keeps the connections meanwhile.

    New code that makes no App, or one that does not start, costs nothing: the old workers go on.

    Args:
        app: what the workers run.
        watcher: sees the changes.
        servers: the names that the server listens for, each with the limits to which the reaper holds its connections.
        env: the workers' environment.
        rpc: address of the RPC server.
    """

    def __init__(
        self,
        app: AppReference,
        watcher: CodeWatcher,
        *,
        servers: Mapping[str, ConnectionLimits],
        env: Mapping[str, str],
        rpc: str,
    ) -> None:
        self._app = app
        self._watcher = watcher
        self._servers = servers
        self._env = env
        self._rpc = rpc
        self._next_look = time.monotonic()

    def poll(self) -> None:
        """Looks, if the last look is INTERVAL ago, and reloads what changed. What goes wrong is said on stderr."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + INTERVAL
        if changed := self._watcher.changed():
            self._reload(changed)

    def _reload(self, changed: Sequence[Path]) -> None:
        try:
            servers = check_app(self._app, self._env, start=True)
        except ConfigurationError as error:
            _warn(f"{_names(changed)} changed, but the new code does not work; the old workers go on:\n{error}")
            return
        if servers.keys() != self._servers.keys():
            _warn(f"the App's servers are now {', '.join(servers)}: start again to listen for these and no others")
        elif servers != self._servers:
            _warn("the limits of connections have changed: start again, the reaper holds them to the old ones")
        try:
            replaced = replace_workers(self._rpc, timeout=RESET_TIMEOUT)
        except RRTcpError as error:
            _warn(f"{_names(changed)} changed, but reloading failed: {error}")
            return
        sys.stdout.write(
            f"reloaded: {_names(changed)} changed; {len(replaced.new)} new workers, no event was handled for "
            f"{replaced.seconds:.2f} s\n"
        )
        sys.stdout.flush()


def _names(paths: Sequence[Path]) -> str:
    first, *others = (str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path) for path in paths)
    return f"{first} and {len(others)} more" if others else first


def _warn(text: str) -> None:
    sys.stderr.write(f"rr-tcp: {text}\n")
    sys.stderr.flush()
