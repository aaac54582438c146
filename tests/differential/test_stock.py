"""The stock server in memory does what the same class does behind a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import Iterator

import pytest
from aiosmtpd.controller import Controller

from rr_tcp.testing import free_ports
from tests.differential.compare import STOCK_OPTIONS
from tests.differential.dialogues import Dialogue, Grammar
from tests.differential.stock import HOSTNAME, StockServer, StockSink
from tests.differential.wire import ReceivedMail, parse_replies

DIALOGUES = 60


@pytest.fixture
def sink() -> StockSink:
    return StockSink()


@pytest.fixture
def port(sink: StockSink) -> Iterator[int]:
    (port,) = free_ports(1)
    controller = Controller(sink, hostname="127.0.0.1", port=port, server_hostname=HOSTNAME, **STOCK_OPTIONS)
    controller.start()
    yield port
    controller.stop()


def in_memory(dialogue: Dialogue) -> tuple[bytes, list[bytes], list[ReceivedMail]]:
    """What aiosmtpd writes, what was sent to it, and its mails: all lines until it closes, without waiting."""
    sink = StockSink()
    with (
        contextlib.closing(asyncio.new_event_loop()) as loop,
        contextlib.closing(StockServer(loop, sink, **STOCK_OPTIONS)) as server,
    ):
        written, sent = server.greeting, []
        for step in dialogue.steps:
            if server.snapshot().closed:
                break
            sent.append(step.data)
            written += server.feed(step.data)
        return written, sent, sink.mails


def over_a_socket(port: int, sent: list[bytes], replies: int) -> bytes:
    """The same from a client that reads as many replies as are due, then goes.

    To one that ends its side first aiosmtpd owes the rest.
    """
    with socket.create_connection(("127.0.0.1", port), 30.0) as client:
        client.sendall(b"".join(sent))
        written = b""
        while True:
            with contextlib.suppress(ValueError):
                if len(parse_replies(written)) >= replies:
                    return written
            data = client.recv(65536)
            if not data:
                return written
            written += data


def test_what_it_writes_and_gets_is_the_same_over_a_socket(port: int, sink: StockSink) -> None:
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # it logs each line
    for number in range(DIALOGUES):
        dialogue = Grammar(random.Random(f"stock:{number}")).dialogue()  # noqa: S311 - the same ones each time
        written, sent, mails = in_memory(dialogue)
        sink.mails.clear()
        assert over_a_socket(port, sent, len(parse_replies(written))) == written
        assert sink.mails == mails
