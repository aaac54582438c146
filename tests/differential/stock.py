"""A stock aiosmtpd on a transport in memory: the class as it is installed, given what it would read from a socket.

`tests/differential/test_stock.py` holds it to the same class behind a real socket.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiosmtpd.smtp import SMTP

from tests.differential.wire import ReceivedMail, Snapshot, parse_replies

PEER: Final = ("192.0.2.1", 1234)
"""The client's host and port."""

HOSTNAME: Final = "mx.test"

_MOST_STEPS: Final = 10_000
"""Turns of the loop for one piece of input. It takes a few; more is a server that does not come to rest."""


class MemoryTransport(asyncio.Transport):
    """The server's end of a connection.

    Attributes:
        written: what the client has to read.
        closed: whether the server closed it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": PEER})
        self._loop = loop
        self._protocol = protocol
        self.written = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        """See `asyncio.WriteTransport`."""
        self.written += data

    def close(self) -> None:
        """See `asyncio.BaseTransport`: what is written leaves, then the protocol is told."""
        if not self.closed:
            self.closed = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport`."""
        return self.closed

    def pause_reading(self) -> None:
        """Nothing comes but what `StockServer.feed` gives."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""


class StockSink:
    """Keeps the mails, and says yes."""

    def __init__(self) -> None:
        self.mails: list[ReceivedMail] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ARG002, N802 - aiosmtpd's
        """See aiosmtpd."""
        self.keep(envelope)
        return "250 OK"

    def keep(self, envelope: Any) -> None:
        """Keeps the mail of an envelope."""
        self.mails.append(
            ReceivedMail(
                envelope.mail_from.removeprefix("<>"),
                tuple(envelope.rcpt_tos),
                tuple(envelope.mail_options),
                tuple(envelope.rcpt_options),
                envelope.content,
            )
        )


class StockServer:
    """One connection to aiosmtpd.

    Args:
        loop: on which it runs, and only while it is fed.
        handler: aiosmtpd's handler.
        options: of `aiosmtpd.smtp.SMTP`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, handler: object, **options: Any) -> None:
        self._loop = loop
        self._smtp = SMTP(handler, hostname=HOSTNAME, loop=loop, **options)
        self._transport = MemoryTransport(loop, self._smtp)
        self._last_code = 220
        self._smtp.connection_made(self._transport)
        self._settle()
        self.greeting = self._take()

    def feed(self, data: bytes) -> bytes:
        """What the server writes when it gets these bytes."""
        if self._transport.closed:
            raise ValueError("the server closed the connection")
        self._smtp.data_received(data)
        self._settle()
        written = self._take()
        if written:
            self._last_code = parse_replies(written)[-1].code
        return written

    def snapshot(self) -> Snapshot:
        """How far the session is."""
        if self._transport.closed:
            return Snapshot(closed=True)
        session, envelope = self._smtp.session, self._smtp.envelope
        assert session is not None
        assert envelope is not None
        return Snapshot(
            host_name=session.host_name or "",
            extended=session.extended_smtp,
            mail_from=None if envelope.mail_from is None else envelope.mail_from.removeprefix("<>"),
            rcpt_tos=tuple(envelope.rcpt_tos),
            in_text=self._last_code == 354,
            in_auth=self._last_code == 334,
            authenticated=bool(session.authenticated),
            kept=(tuple(getattr(session, "calls", ())), getattr(envelope, "calls", 0)),
        )

    def close(self) -> None:
        """The client goes away."""
        self._transport.close()
        self._settle()

    def _take(self) -> bytes:
        written = bytes(self._transport.written)
        self._transport.written.clear()
        return written

    def _settle(self) -> None:
        """Runs the loop until the server waits for more bytes, or is done with a closed connection."""
        for _ in range(_MOST_STEPS):
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()
            if self._is_at_rest():
                return
        raise TimeoutError("aiosmtpd does not come to rest")

    def _is_at_rest(self) -> bool:
        task = self._smtp._handler_coroutine
        assert task is not None
        if task.done() or self._transport.closed:
            return task.done()
        return self._smtp._reader._waiter is not None  # type: ignore[attr-defined]  # asyncio.StreamReader's own
