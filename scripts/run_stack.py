"""`make run`: the whole stack in the foreground, one line when it serves, everything ended on Ctrl-C."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from rr_tcp.configuration import MAX_WORKERS
from rr_tcp.errors import ConfigurationError, RRTcpError
from rr_tcp.foreground import Interrupted, Signals, local_address, run_server
from rr_tcp.logs import log_format, log_level
from rr_tcp.probe import PROBES
from rr_tcp.server import RoadRunnerServer, check_free
from rr_tcp.stores import open_store
from services.env_file import environment, misspelt
from services.smtp import MailStoreError, SmtpSettings, open_mail_store
from workers.edge import ECHOS, SMTPS, trusted_proxies
from workers.settings import Settings, connection_limits

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = ROOT / ".rr.yaml"

READY_TIMEOUT = 60.0
"""Seconds, as long as RoadRunner itself waits for its workers (`pool.allocate_timeout`)."""

STOP_TIMEOUT = 40.0
"""Seconds until the server is killed, above `endure.grace_period` of .rr.yaml."""

PROTOCOLS = {"smtp": "smtp", "echo": "line"}
"""Which probe says that a service answers, by the name of its listener; for others, that it accepts connections."""

BEHIND_EDGE = {SMTPS, ECHOS}
"""Listeners that answer nobody but the edge: they are not probed, nor shown to whoever looks for a port to use."""


@dataclass(frozen=True, slots=True)
class Listener:
    """An entry of `tcp.servers` in .rr.yaml.

    Attributes:
        name: the server's name.
        setting: the variable with its port.
    """

    name: str
    setting: str


def main(argv: Sequence[str] | None = None) -> int:
    """Runs until interrupted (exit code 0) or until something fails (1, with the reason on stderr)."""
    parser = argparse.ArgumentParser(prog="make run", description="Runs the whole stack in the foreground.")
    parser.add_argument(
        "-o",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="as `rr serve -o`: replaces .rr.yaml",
    )
    overrides = parser.parse_args(argv).overrides
    signals = Signals()
    os.chdir(ROOT)
    try:
        run({**defaults(), **environment()}, signals, overrides)
    except (RRTcpError, MailStoreError) as error:
        sys.stderr.write(f"make run: {error}\n")
        return 1
    except Interrupted:
        return 0


def run(env: dict[str, str], signals: Signals, overrides: Sequence[str] = ()) -> NoReturn:
    """Checks the surroundings, starts the server, waits for its end."""
    settings = Settings.from_env({**env, "RR_RPC": f"tcp://127.0.0.1:{env['RPC_PORT']}"})  # as .rr.yaml has it
    smtp, workers = SmtpSettings.from_env(env), _workers(env)
    for listener in listeners():
        connection_limits(env, listener.name)  # what the workers would say, as below
    trusted_proxies(env)
    log_level(env)
    log_format(env)
    for hint in misspelt(setting_names()):
        sys.stderr.write(f"make run: {hint}\n")
    host, ports = env["LISTEN_HOST"], {listener.name: _port(env, listener.setting) for listener in listeners()}
    addresses = {listener.setting: (host, ports[listener.name]) for listener in listeners()}
    addresses["RPC_PORT"] = "127.0.0.1", _port(env, "RPC_PORT")
    addresses["METRICS_PORT"] = env["METRICS_HOST"], _port(env, "METRICS_PORT")
    check_free(addresses, host_setting="LISTEN_HOST or METRICS_HOST")
    _check_session_store(settings.session_store)
    with closing(open_mail_store(smtp.mail_store)) as store:
        store.open()

    server = RoadRunnerServer(
        ROOT / "bin/rr", CONFIGURATION, cwd=ROOT, env={**env, "PYTHON": _python()}, overrides=overrides
    )
    open_to_all = {name: port for name, port in ports.items() if name not in BEHIND_EDGE}
    served = ", ".join(f"{name} on {host}:{port}" for name, port in open_to_all.items())
    ready = (
        f"ready: {served}; {workers} workers, sessions in {redacted(settings.session_store)}, mails in "
        f"{redacted(smtp.mail_store)}; Ctrl-C stops\n"
    )
    run_server(
        server,
        signals,
        probes=[
            partial(PROBES[PROTOCOLS.get(name, "connect")], local_address(host), port)
            for name, port in open_to_all.items()
        ],
        ready_timeout=READY_TIMEOUT,
        stop_timeout=STOP_TIMEOUT,
        on_ready=lambda: _say(ready),
    )


def _python() -> str:
    """This interpreter, from the root where it is below: .rr.yaml's service cuts its command at spaces."""
    return sys.executable.removeprefix(f"{ROOT}/")


def listeners() -> list[Listener]:
    """The servers of .rr.yaml."""
    found = re.findall(r"^    (\w+):\n\s+addr: .*\$\{(\w+_PORT):-\d+\}", CONFIGURATION.read_text(), re.MULTILINE)
    return [Listener(name, setting) for name, setting in found]


def storages() -> list[str]:
    """The storages that .rr.yaml has for sessions."""
    section = CONFIGURATION.read_text().partition("\nkv:\n")[2]
    return re.findall(r"^  (\w+):$", section.partition("\n\n")[0], re.MULTILINE)


def defaults() -> dict[str, str]:
    """The values that .rr.yaml has for variables that are not set."""
    values = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", CONFIGURATION.read_text()))
    del values["PYTHON"]
    return values


def setting_names() -> set[str]:
    """Every variable that .env.example describes."""
    return set(re.findall(r"^#(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def redacted(url: str) -> str:
    """A store's URL without user and password."""
    host = urlsplit(url).netloc
    return url.replace(host, host.rpartition("@")[2], 1) if host else url


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


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


def _check_session_store(url: str) -> None:
    """Says now what every worker would say later, to each client."""
    if url.startswith("rrkv:"):  # it is part of the server, which does not run yet
        name, names = urlsplit(url).netloc, storages()
        if name not in names:
            raise ConfigurationError(f"SESSION_STORE is {url!r}: the section kv of .rr.yaml has {', '.join(names)}")
        return
    with closing(open_store(url)) as store:
        store.check()


if __name__ == "__main__":
    sys.exit(main())
