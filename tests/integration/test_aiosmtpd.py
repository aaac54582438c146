"""aiosmtpd's handlers on the real server: any of two workers may get the next packet."""

from __future__ import annotations

import mailbox
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from rr_tcp.testing import ServedApp, free_ports
from tests.differential.stock import StockSink
from tests.e2e.clients import RawClient
from tests.e2e.targets import Address
from tests.integration.conftest import ServeApp

CLIENTS = 8
MAILS = 3


def talk(served: ServedApp) -> set[bytes]:
    """Lets clients send mails at the same time, each in many packets; the texts that were accepted."""
    clients = [RawClient(Address("127.0.0.1", served.ports["smtp"])) for _ in range(CLIENTS)]
    for client in clients:
        client.reply()
        client.command(b"EHLO c")
    texts = set()
    for number in range(MAILS):
        for command in (b"MAIL FROM:<from@a.test>", b"RCPT TO:<to%d@b.test>", b"DATA"):
            for which, client in enumerate(clients):
                reply = client.command(command % which if b"%d" in command else command)
                assert reply[:1] in {b"2", b"3"}, reply
        for which, client in enumerate(clients):
            client.send(b"Subject: %d of %d\r\n\r\n" % (number, which), b"..dots\r\n", b".\r\n")
            texts.add(b"Subject: %d of %d\r\n\r\n.dots\r\n" % (number, which))
            assert client.reply().startswith(b"250 ")
    for client in clients:
        with client:
            assert client.command(b"QUIT").startswith(b"221 ")
    assert len(served.pids()) == 2
    return texts


def serve_with(serve: ServeApp, tmp_path: Path, handler: str) -> ServedApp:
    env = {
        "SESSION_STORE": "rrkv://sessions",
        "MAIL_STORE": f"sqlite:///{tmp_path}/mail.db",
        "SMTP_HANDLER": handler,
    }
    return serve("workers.smtp:build_app", "smtp", env=env)


def test_mailbox(serve: ServeApp, tmp_path: Path) -> None:
    texts = talk(serve_with(serve, tmp_path, f"aiosmtpd.handlers.Mailbox {tmp_path}/maildir"))
    found = list(mailbox.Maildir(tmp_path / "maildir"))
    assert Counter(str(message["X-RcptTo"]) for message in found) == {
        f"to{which}@b.test": MAILS for which in range(CLIENTS)
    }
    assert {b"Subject: %s" % str(message["Subject"]).encode() for message in found} == {
        text.split(b"\r\n")[0] for text in texts
    }
    assert {message.get_payload() for message in found} == {".dots\n"}


@pytest.fixture
def next_hop() -> Iterator[tuple[int, StockSink]]:
    (port,) = free_ports(1)
    sink = StockSink()
    controller = Controller(sink, hostname="127.0.0.1", port=port)
    controller.start()
    yield port, sink
    controller.stop()


def test_proxy(serve: ServeApp, tmp_path: Path, next_hop: tuple[int, StockSink]) -> None:
    port, sink = next_hop
    texts = talk(serve_with(serve, tmp_path, f"aiosmtpd.handlers.Proxy 127.0.0.1 {port}"))
    assert {mail.content.replace(b"X-Peer: 127.0.0.1\r\n", b"") for mail in sink.mails} == texts
    assert len(sink.mails) == len(texts)
