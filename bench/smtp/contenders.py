"""Who takes part, and everything they need running."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.contenders import memory_directory
from bench.errors import BenchError
from bench.programs import ROOT
from bench.redis_server import redis_server
from bench.smtp.peer import largest_mail
from bench.smtp.processes import tree
from bench.smtp.stored import InMaildir, InMailStore, Nowhere, Stored
from rr_tcp.errors import ProbeError
from rr_tcp.probe import probe_connect, probe_smtp
from rr_tcp.testing import find_server, free_ports, roadrunner

_NO_SNAPSHOTS: Final = ("--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction")
_SESSIONS: Final = (*_NO_SNAPSHOTS, "--appendfsync", "everysec")
"""As docker-compose.yml has it: a session ends with its connection, and need not outlast a power cut."""
_MAILS: Final = (*_NO_SNAPSHOTS, "--appendfsync", "always")
"""What the mail store asks for: each mail is on the disk before it is acknowledged."""

_START_TIMEOUT: Final = 20.0  # seconds until a peer must answer, on a slow machine under load
_STOP_TIMEOUT: Final = 10.0  # seconds until it must be gone
_POLL: Final = 0.05  # seconds between two looks
_PEERS_MAIL: Final = "mail"  # the Maildir's name


@dataclass(frozen=True, slots=True)
class Contender:
    """A mail receiver.

    Attributes:
        name: short, for the command line and files.
        title: for people.
        ours: whether it is the service, behind RoadRunner.
        redis_sessions: whether its sessions are in Redis; else in LMDB.
        redis_mails: whether its mails are in Redis; else in SQLite.
        maildir: of aiosmtpd, whether it keeps its mails; else it drops them.
    """

    name: str
    title: str
    ours: bool = True
    redis_sessions: bool = False
    redis_mails: bool = False
    maildir: bool = False


BASELINE: Final = Contender("sink", "aiosmtpd, Sink", ours=False)
"""What the others' numbers are ratios to."""

CONTENDERS: Final = (
    BASELINE,
    Contender("mailbox", "aiosmtpd, Mailbox", ours=False, maildir=True),
    Contender("lmdb-sqlite", "LMDB, SQLite"),
    Contender("lmdb-redis", "LMDB, Redis", redis_mails=True),
    Contender("redis-sqlite", "Redis, SQLite", redis_sessions=True),
    Contender("redis-redis", "Redis, Redis", redis_sessions=True, redis_mails=True),
)


@dataclass(frozen=True, slots=True)
class Running:
    """A contender that serves.

    Attributes:
        contender: which.
        port: on 127.0.0.1.
        stored: where its mails are.
        handlers: the processes whose children, or who themselves, handle mails.
        others: further processes that work for it.
        redis: URLs of those of them that are a Redis, that of the sessions before that of the mails.
    """

    contender: Contender
    port: int
    stored: Stored
    handlers: Sequence[int]
    others: Sequence[int] = field(default=())
    redis: Sequence[str] = field(default=())

    @property
    def roots(self) -> tuple[int, ...]:
        """Every process that works for it, or its ancestor."""
        return (*self.handlers, *self.others)

    def workers(self) -> set[int]:
        """The processes that handle mails."""
        return tree(self.handlers) - set(self.handlers) if self.contender.ours else set(self.handlers)


@contextlib.contextmanager
def running(contenders: Sequence[Contender], mail: Path, *, workers: int) -> Iterator[list[Running]]:
    """The contenders, at the same time; only the one that is measured has work. Everything ends with the block.

    Args:
        contenders: which.
        mail: a directory on the disk that durable mail is to be measured on.
        workers: of each of ours.
    """
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="smtp-", dir=mail)))
        sessions = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=memory_directory())))
        served = []
        for contender in contenders:
            own = directory / contender.name
            own.mkdir()
            start = _service(contender, own, sessions, workers) if contender.ours else _peer(contender, own)
            served.append(stack.enter_context(start))
        yield served


@contextlib.contextmanager
def _service(contender: Contender, directory: Path, sessions: Path, workers: int) -> Iterator[Running]:
    """The stack as .rr.yaml has it."""
    smtp, echo, smtps, echos, rpc, metrics = free_ports(6)
    log = directory / "rr.log"
    with contextlib.ExitStack() as stack:
        pids: list[int] = []
        urls: list[str] = []

        def redis(name: str, settings: tuple[str, ...]) -> str:
            (directory / name).mkdir()
            server = stack.enter_context(redis_server(directory / name, settings))
            pids.append(server.pid)
            urls.append(server.url())
            return server.url()

        session_store = f"lmdb://{sessions}/{contender.name}"
        mail_store = f"sqlite:///{directory}/mail.db"
        if contender.redis_sessions:
            session_store = redis("sessions", _SESSIONS)
        if contender.redis_mails:
            mail_store = redis("mails", _MAILS)
        env = {
            "PYTHON": sys.executable,
            "LISTEN_HOST": "127.0.0.1",
            "SMTP_PORT": str(smtp),
            "ECHO_PORT": str(echo),
            "SMTPS_PORT": str(smtps),
            "ECHOS_PORT": str(echos),
            "RPC_PORT": str(rpc),
            "METRICS_PORT": str(metrics),
            "WORKERS": str(workers),
            "SESSION_STORE": session_store,
            "MAIL_STORE": mail_store,
            "SMTP_MAX_SIZE": str(largest_mail()),
            "SMTP_HANDLER": "",
            "LOG_LEVEL": "INFO",
        }
        probes = [functools.partial(probe_smtp, "127.0.0.1", smtp)]
        server = stack.enter_context(
            roadrunner(find_server(), ROOT / ".rr.yaml", cwd=ROOT, env=env, log=log, probes=probes)
        )
        yield Running(contender, smtp, InMailStore(mail_store), [server.pid], pids, urls)


@contextlib.contextmanager
def _peer(contender: Contender, directory: Path) -> Iterator[Running]:
    """A server of aiosmtpd in a process of its own."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "bench.smtp.peer", "--port", str(port)]
    stored: Stored = Nowhere()
    if contender.maildir:
        command += ["--mailbox", str(directory / _PEERS_MAIL)]
        stored = InMaildir(directory / _PEERS_MAIL)
    log = directory / "peer.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
    try:
        _wait(process, port, log)
        yield Running(contender, port, stored, [process.pid])
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            probe_connect("127.0.0.1", port)
        except ProbeError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"aiosmtpd does not serve: {error}\n{log.read_text()}") from error
        else:
            return
        time.sleep(_POLL)
