"""A minimal configuration of the server, for development and tests."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from rr_tcp.errors import ConfigurationError

MAX_WORKERS: Final = 500
"""RoadRunner's own limit of a pool (pool v1.1.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    r"""What a server needs to run one App.

    Attributes:
        app: what the workers run, `module:name` of an App or of a function that returns one.
        listen: the servers' addresses by name, `host:port` or `unix://path`, with an IP literal as the host.
        rpc: address of the RPC server, `tcp://127.0.0.1:port`.
        workers: number of worker processes.
        delimiter: where RoadRunner cuts the stream. One byte; a longer one closes connections whose packets cut it.
        allocate_timeout: seconds that a worker may take to start, and an event may wait for a free one.
        exec_ttl: seconds until a hung worker is killed. A reset waits no longer for those that have an event.
        grace_period: seconds that the server's end may take, above `exec_ttl`.
        relay: how workers and server talk: `pipes`, `tcp://host:port` or `unix://path`.
        python: command of the interpreter.
        reap: arguments of the reaper (`rr-tcp reap`), which then runs beside the workers; None without one.
        extra: sections of the configuration to add, or to replace those made here.
    """

    app: str
    listen: Mapping[str, str]
    rpc: str
    workers: int = 2
    delimiter: str = "\n"
    allocate_timeout: float = 60.0
    exec_ttl: float = 20.0
    grace_period: float = 30.0
    relay: str = "pipes"
    python: Sequence[str] = (sys.executable,)
    reap: Sequence[str] | None = None
    extra: Mapping[str, object] | None = None

    def encode(self) -> bytes:
        """The file's content: JSON, which is YAML too.

        Raises:
            ConfigurationError: the reaper's command has a space in one of its words.
        """
        sections: dict[str, object] = {
            "version": "3",
            "rpc": {"listen": self.rpc},
            "server": {"command": [*self.python, "-m", "rr_tcp", "worker", self.app], "relay": self.relay},
            "tcp": {
                "servers": {
                    name: {"addr": address if "://" in address else f"tcp://{address}", "delimiter": self.delimiter}
                    for name, address in self.listen.items()
                },
                "pool": {
                    "num_workers": self.workers,
                    "allocate_timeout": f"{self.allocate_timeout:g}s",
                    "reset_timeout": f"{self.exec_ttl:g}s",
                    "destroy_timeout": f"{self.exec_ttl + 1:g}s",
                    "supervisor": {"watch_tick": "1s", "exec_ttl": f"{self.exec_ttl:g}s"},
                },
            },
            "kv": {"sessions": {"driver": "memory", "config": {}}},
            "logs": {"level": "info"},
            "endure": {"grace_period": f"{self.grace_period:g}s"},
            **({} if self.reap is None else {"service": {"reaper": self._reaper(self.reap)}}),
            **(self.extra or {}),
        }
        return msgspec.json.format(msgspec.json.encode(sections), indent=2) + b"\n"

    def _reaper(self, arguments: Sequence[str]) -> dict[str, object]:
        words = [*self.python, "-m", "rr_tcp", "reap", self.app, "--rpc", self.rpc, *arguments]
        if spaced := [word for word in words if " " in word]:
            raise ConfigurationError(
                f"limits of connections need the reaper, whose command RoadRunner cuts at spaces, and {spaced[0]!r} "
                "has one: move it to a path without spaces, or give no limits"
            )
        return {
            "command": " ".join(words),
            "remain_after_exit": True,  # that is: start it again
            "restart_sec": 1,
            "service_name_in_log": True,
        }
