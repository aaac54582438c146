"""A worker that is killed while it handles a piece of a mail's text: that connection is lost, and nothing else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from rr_tcp.plugins.informer import Informer, WorkerState
from rr_tcp.testing import ServedApp
from services.smtp import open_mail_store
from tests.e2e.clients import RawClient
from tests.e2e.targets import Address
from tests.integration.conftest import ServeApp
from tests.support.waiting import wait_until

BYSTANDERS = 10


@pytest.fixture
def mail_store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mail.db"


@pytest.fixture
def served(serve: ServeApp, mail_store: str) -> ServedApp:
    env = {"SESSION_STORE": "rrkv://sessions", "MAIL_STORE": mail_store}
    return serve("workers.smtp:build_app", "smtp", env=env)


def in_data(served: ServedApp, name: str) -> RawClient:
    """A client that may send its mail's text now."""
    client = RawClient(Address("127.0.0.1", served.ports["smtp"]))
    client.reply()
    for command in (b"EHLO c", b"MAIL FROM:<%s@x.test>" % name.encode(), b"RCPT TO:<b@y.test>", b"DATA"):
        assert client.command(command)[:1] in {b"2", b"3"}
    return client


def pool(served: ServedApp) -> list[WorkerState]:
    return Informer(served.rpc).workers("tcp") or []


def busy(served: ServedApp) -> set[int]:
    return {worker.pid for worker in pool(served) if worker.status == "working"}


def events(served: ServedApp) -> int:
    """How many events the workers have handled."""
    return sum(worker.executions for worker in pool(served))


def test_a_worker_killed_in_mid_data_costs_that_connection_only_and_stores_nothing_half(
    served: ServedApp, mail_store: str
) -> None:
    names = [*(f"bystander-{number}" for number in range(BYSTANDERS)), "victim"]
    *bystanders, victim = clients = [in_data(served, name) for name in names]
    before = events(served)
    for client, name in zip(clients, names, strict=True):
        client.send(b"first half of %s\r\n" % name.encode())
    # No reply tells that a piece of a text has come.
    wait_until(lambda: events(served) >= before + len(clients) and not busy(served))
    workers = served.pids()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)  # whichever gets the next piece keeps it
    victim.send(b"second half\r\n")
    wait_until(lambda: len(busy(served)) == 1)
    [worker] = busy(served)
    os.kill(worker, signal.SIGKILL)
    for pid in workers - {worker}:
        os.kill(pid, signal.SIGCONT)
    with victim:
        assert victim.rest() == b""
    for client in bystanders:
        with client:
            client.send(b"second half\r\n.\r\n")
            assert client.reply()[:3] == b"250"
    store = open_mail_store(mail_store, create=False)
    mails = {mail.mail_from: b"".join(store.read(mail.id)) for mail in store.mails()}
    store.close()
    assert len(mails) == BYSTANDERS
    for number in range(BYSTANDERS):
        text = mails[f"bystander-{number}@x.test"]
        assert text == b"first half of bystander-%d\r\nsecond half\r\n" % number
