"""Each of aiosmtpd's own handlers does behind the service what it does behind aiosmtpd, whatever the cuts.

Every event is handled by another worker, with another handler object; between two events there is the store alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import mailbox
import random
from collections import Counter
from collections.abc import Callable, Iterator
from email.message import Message as EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import AsyncMessage, Debugging, Mailbox, Message, Proxy, Sink

from rr_tcp.testing import free_ports
from tests.differential.stock import StockServer, StockSink
from tests.services.smtp.corpus import MAILS, session
from tests.services.smtp.harness import SETTINGS, Service, codes

STREAM = session(*MAILS.values())
CUTS = 12
SEED = 1


def cut(rng: random.Random) -> list[bytes]:
    """The stream in random pieces."""
    marks = sorted(rng.sample(range(1, len(STREAM)), rng.randint(1, 40)))
    return [STREAM[a:b] for a, b in zip([0, *marks], [*marks, len(STREAM)], strict=True)]


def behind_aiosmtpd(handler: object) -> list[int]:
    """The stream on aiosmtpd itself; the codes of its replies."""
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        server = StockServer(loop, handler)
        return codes(b"".join(server.feed(line) for line in STREAM.splitlines(keepends=True)))


def behind_the_service(make: Callable[[], object], rng: random.Random) -> list[int]:
    """The stream on the service, cut at random; the codes of its replies."""
    with Service(SETTINGS, make(), make()) as service:
        answered = codes(service.client().send(*cut(rng)))
        assert [mail.content for mail in service.mails] == list(MAILS.values())
        return answered


def compare(make: Callable[[], object], take: Callable[[], object]) -> None:
    """Runs the stream on both sides, and compares what `take` gives of what the handler did."""
    expected_codes, expected = behind_aiosmtpd(make()), take()
    assert expected
    rng = random.Random(SEED)  # noqa: S311 - the same cuts each time
    for _ in range(CUTS):
        assert behind_the_service(make, rng) == expected_codes
        assert take() == expected


def test_debugging() -> None:
    printed = io.StringIO()

    def take() -> str:
        text = printed.getvalue()
        printed.seek(0)
        printed.truncate()
        return text

    compare(lambda: Debugging(printed), take)


class Keeping(Message):
    """What a subclass of Message gets."""

    kept: list[bytes] = []  # noqa: RUF012 - of all its objects

    def handle_message(self, message: EmailMessage) -> None:
        self.kept.append(message.as_bytes())


class AsyncKeeping(AsyncMessage):
    """The same with a coroutine."""

    kept: list[bytes] = []  # noqa: RUF012 - of all its objects

    async def handle_message(self, message: EmailMessage) -> None:
        await asyncio.sleep(0)
        self.kept.append(message.as_bytes())


@pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning")
@pytest.mark.parametrize("handler_class", [Keeping, AsyncKeeping])
def test_message_and_async_message(handler_class: type[Keeping | AsyncKeeping]) -> None:
    def take() -> list[bytes]:
        messages = list(handler_class.kept)
        handler_class.kept.clear()
        return messages

    compare(handler_class, take)


def test_mailbox(tmp_path: Path) -> None:
    directory = tmp_path / "maildir"

    def take() -> Counter[bytes]:
        found = mailbox.Maildir(directory)
        messages = Counter(message.as_bytes() for message in found)
        found.clear()
        return messages

    compare(lambda: Mailbox(directory), take)


def test_sink() -> None:
    compare(Sink, lambda: "nothing")


@pytest.fixture
def next_hop() -> Iterator[tuple[int, StockSink]]:
    """A server for Proxy to hand its mails to: aiosmtpd's own, on a port of this machine."""
    (port,) = free_ports(1)
    sink = StockSink()
    controller = Controller(sink, hostname="127.0.0.1", port=port)
    controller.start()
    yield port, sink
    controller.stop()


def test_proxy(next_hop: tuple[int, StockSink]) -> None:
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)
    port, sink = next_hop

    def take() -> list[object]:
        received: list[object] = list(sink.mails)
        sink.mails.clear()
        return received

    compare(lambda: Proxy("127.0.0.1", port), take)
