"""`make run`: the whole stack in the foreground, one line when it serves, everything ended on Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from dotenv import dotenv_values

from rr_tcp.errors import ConfigurationError, RRTcpError
from rr_tcp.probe import probe_line, probe_smtp
from rr_tcp.server import RoadRunnerServer
from services.kv import open_store
from services.smtp import SmtpSettings
from workers.settings import Settings

ROOT = Path(__file__).resolve().parent.parent

READY_TIMEOUT = 60.0
"""Seconds, as long as RoadRunner itself waits for its workers (`pool.allocate_timeout`)."""

STOP_TIMEOUT = 40.0
"""Seconds until the server is killed, above `endure.grace_period` of .rr.yaml."""

MAX_WORKERS = 500
"""RoadRunner's own limit of a pool (pool v1.1.3)."""

DEFAULTS = {"LISTEN_HOST": "127.0.0.1", "SMTP_PORT": "1025", "ECHO_PORT": "8889", "RPC_PORT": "6001", "WORKERS": "2"}
"""As in .rr.yaml, which a test compares."""


def main() -> int:
    """Runs until interrupted (exit code 0) or until something fails (1, with the reason on stderr)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return run({**DEFAULTS, **_dotenv(), **os.environ})
    except RRTcpError as error:
        sys.stderr.write(f"make run: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 0


def run(env: dict[str, str]) -> int:
    """Checks the surroundings, starts the server, waits for its end."""
    os.chdir(ROOT)
    settings = Settings.from_env(env)
    smtp = SmtpSettings.from_env(env)
    host = env["LISTEN_HOST"]
    smtp_port, echo_port = _port(env, "SMTP_PORT"), _port(env, "ECHO_PORT")
    workers = _workers(env)
    for address, name in ((host, "SMTP_PORT"), (host, "ECHO_PORT"), ("127.0.0.1", "RPC_PORT")):
        _check_free(address, _port(env, name), name)
    _check_store(settings.session_store)

    server = RoadRunnerServer(ROOT / "bin/rr", ROOT / ".rr.yaml", cwd=ROOT, env={**env, "PYTHON": sys.executable})
    server.start()
    try:
        local = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound
        probes: list[Callable[[], None]] = [
            partial(probe_smtp, local, smtp_port),
            partial(probe_line, local, echo_port),
        ]
        server.wait_ready(probes, timeout=READY_TIMEOUT)
        sys.stdout.write(
            f"ready: SMTP on {host}:{smtp_port}, JSON echo on {host}:{echo_port}, {workers} workers, "
            f"sessions in {_redacted(settings.session_store)}, mails in {_redacted(smtp.mail_store)}; Ctrl-C stops\n"
        )
        sys.stdout.flush()
        code = server.wait()
    except BaseException:
        _stop(server)
        raise
    sys.stderr.write(f"make run: the server ended by itself with exit code {code}; its log above says why\n")
    return 1


def _stop(server: RoadRunnerServer) -> None:
    try:
        code = server.stop(timeout=STOP_TIMEOUT)
    except KeyboardInterrupt:  # a second Ctrl-C: now
        server.kill()
        return
    if code:
        sys.stderr.write(f"make run: the server stopped with exit code {code}\n")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _dotenv() -> dict[str, str]:
    return {name: value for name, value in dotenv_values(ROOT / ".env").items() if value}


def _port(env: dict[str, str], name: str) -> int:
    value = env[name]
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise ConfigurationError(f"{name} is {value!r}: give a port from 1 to 65535")
    return int(value)


def _workers(env: dict[str, str]) -> int:
    value = env["WORKERS"]
    if not value.isdecimal() or not 0 < int(value) <= MAX_WORKERS:
        raise ConfigurationError(f"WORKERS is {value!r}: give a number of processes from 1 to {MAX_WORKERS}")
    return int(value)


def _check_free(host: str, port: int, name: str) -> None:
    """RoadRunner would share a taken port with whoever has it (SO_REUSEPORT), and each would get half the clients."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host.strip("[]"), port))
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {host}:{port}: {error.strerror}. Set {name} to another port, e.g. {name}={port + 1}"
            ) from error


def _check_store(url: str) -> None:
    """Says now what every worker would say later, to each client."""
    if url.startswith("rrkv:"):
        return  # it is part of the server, which does not run yet; the probes go through it
    store = open_store(url)
    try:
        store.check()
    finally:
        store.close()


def _redacted(url: str) -> str:
    return re.sub(r"(?<=://)[^/@]*@", "***@", url)


if __name__ == "__main__":
    sys.exit(main())
