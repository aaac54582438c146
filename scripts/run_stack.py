"""`make run`: the whole stack in the foreground, one line when it serves, everything ended on Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from rr_tcp.errors import ConfigurationError, RRTcpError, ServerError
from rr_tcp.probe import PROBES, Probe
from rr_tcp.server import RoadRunnerServer, check_free
from services.env_file import environment
from services.kv import open_store
from services.smtp import SmtpSettings
from workers.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = ROOT / ".rr.yaml"

READY_TIMEOUT = 60.0
"""Seconds, as long as RoadRunner itself waits for its workers (`pool.allocate_timeout`)."""

STOP_TIMEOUT = 40.0
"""Seconds until the server is killed, above `endure.grace_period` of .rr.yaml."""

ENDED = (0, -signal.SIGTERM)
"""Exit codes of a server that ended as it was told; the second before it had come so far as to listen for signals."""

MAX_WORKERS = 500
"""RoadRunner's own limit of a pool (pool v1.1.3)."""

PROTOCOLS = {"smtp": "smtp", "echo": "line"}
"""Which probe says that a service answers, by the name of its listener; for others, that it accepts connections."""

_POLL = 0.1  # seconds between two looks at the server and at the signals


@dataclass(frozen=True, slots=True)
class Listener:
    """An entry of `tcp.servers` in .rr.yaml.

    Attributes:
        name: the server's name.
        setting: the variable with its port.
    """

    name: str
    setting: str


class Interrupted(Exception):  # noqa: N818 - no error: somebody wants us to end
    """A signal asked for the end."""


class Signals:
    """Counts the signals that ask for the end. They only set a mark: an exception could lose a child being started."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._received)

    def check(self) -> None:
        """Raises `Interrupted` after the first."""
        if self.count:
            raise Interrupted

    def _received(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


def main() -> int:
    """Runs until interrupted (exit code 0) or until something fails (1, with the reason on stderr)."""
    signals = Signals()
    os.chdir(ROOT)
    try:
        return run({**defaults(), **environment()}, signals)
    except RRTcpError as error:
        sys.stderr.write(f"make run: {error}\n")
        return 1
    except Interrupted:
        return 0


def run(env: dict[str, str], signals: Signals) -> int:
    """Checks the surroundings, starts the server, waits for its end."""
    settings, smtp, workers = Settings.from_env(env), SmtpSettings.from_env(env), _workers(env)
    host, ports = env["LISTEN_HOST"], {listener.name: _port(env, listener.setting) for listener in listeners()}
    for listener in listeners():
        check_free(host, ports[listener.name], listener.setting)
    check_free("127.0.0.1", _port(env, "RPC_PORT"), "RPC_PORT")
    _check_store(settings.session_store)

    server = RoadRunnerServer(ROOT / "bin/rr", CONFIGURATION, cwd=ROOT, env={**env, "PYTHON": sys.executable})
    signals.check()
    server.start()
    try:
        probes = [partial(_probe, name, _local(host), port, signals) for name, port in ports.items()]
        server.wait_ready(probes, timeout=READY_TIMEOUT)
        served = ", ".join(f"{name} on {host}:{port}" for name, port in ports.items())
        sys.stdout.write(
            f"ready: {served}; {workers} workers, sessions in {redacted(settings.session_store)}, mails in "
            f"{redacted(smtp.mail_store)}; Ctrl-C stops\n"
        )
        sys.stdout.flush()
        while (code := server.poll()) is None:
            signals.check()
            time.sleep(_POLL)
    except BaseException:
        _stop(server, signals)
        raise
    raise ServerError(f"the server ended by itself with exit code {code}; its log above says why")


def listeners() -> list[Listener]:
    """The servers of .rr.yaml."""
    found = re.findall(r"^    (\w+):\n\s+addr: .*\$\{(\w+_PORT):-\d+\}", CONFIGURATION.read_text(), re.MULTILINE)
    return [Listener(name, setting) for name, setting in found]


def defaults() -> dict[str, str]:
    """The values that .rr.yaml has for variables that are not set."""
    values = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", CONFIGURATION.read_text()))
    del values["PYTHON"]
    return values


def redacted(url: str) -> str:
    """A store's URL without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _probe(name: str, host: str, port: int, signals: Signals) -> None:
    signals.check()
    probe: Probe = PROBES[PROTOCOLS.get(name, "connect")]
    probe(host, port)


def _local(host: str) -> str:
    """Where this machine reaches what listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bare := host.strip("[]"), bare)  # noqa: S104 - compared only


def _stop(server: RoadRunnerServer, signals: Signals) -> None:
    """Ends the server in order; at once on a signal that comes while it ends."""
    before = signals.count
    server.terminate()
    deadline = time.monotonic() + STOP_TIMEOUT
    while (code := server.poll()) is None and signals.count == before and time.monotonic() < deadline:
        time.sleep(_POLL)
    if code is None:
        server.kill()
        server.wait()
    if code not in ENDED:
        how = "was killed before it had ended in order" if code is None else f"ended with exit code {code}"
        raise ServerError(f"the server {how}; nothing that was acknowledged is lost")


def _port(env: Mapping[str, str], name: str) -> int:
    value = env[name]
    if not (value.isascii() and value.isdecimal()) or not 0 < int(value) < 65536:
        raise ConfigurationError(f"{name} is {value!r}: give a port from 1 to 65535")
    return int(value)


def _workers(env: Mapping[str, str]) -> int:
    value = env["WORKERS"]
    if not (value.isascii() and value.isdecimal()) or not 0 < int(value) <= MAX_WORKERS:
        raise ConfigurationError(f"WORKERS is {value!r}: give a number of processes from 1 to {MAX_WORKERS}")
    return int(value)


def _check_store(url: str) -> None:
    """Says now what every worker would say later, to each client."""
    if url.startswith("rrkv:"):
        return  # it is part of the server, which does not run yet; the probes go through it
    store = open_store(url)
    try:
        store.check()
    finally:
        store.close()


if __name__ == "__main__":
    sys.exit(main())
