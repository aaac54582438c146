"""What clients send: any split of a stream gives what the whole gives, though every piece is another process's."""

from __future__ import annotations

import dataclasses
import ipaddress

import msgspec

from rr_tcp import AccessRules, App, Connection, LineProtocol, LineState, StatefulProtocol
from rr_tcp.errors import ProxyHeaderError
from rr_tcp.events import split_remote_addr
from rr_tcp.proxy_protocol import parse_header
from rr_tcp.testing import ConnectionDriver, MemorySessionStore
from services.echo import EchoProtocol, EchoSettings
from services.smtp.body import BareNewlines
from tests.fuzz.pieces import stream_in_pieces
from tests.services.smtp.corpus import dot_stuffed, envelope
from tests.services.smtp.harness import LIMITS, SETTINGS, converse

MAX_LINE = 40
UUID = "6f9b9a0e-0000-4000-8000-000000000000"


class _Lines(LineProtocol[LineState]):
    state_type = LineState
    max_line = MAX_LINE

    def line_received(self, connection: Connection[LineState], line: bytes) -> None:
        connection.write(b"<%b>" % line)
        if line == b"close":
            connection.close()

    def line_too_long(self, connection: Connection[LineState]) -> None:
        connection.write(b"<too long>")


class _AsyncLines(_Lines):
    """Some lines are handled by a coroutine."""

    async def _reply(self, connection: Connection[LineState], line: bytes) -> None:
        super().line_received(connection, line)

    def line_received(self, connection: Connection[LineState], line: bytes) -> None:
        if not line.startswith(b"a"):
            return super().line_received(connection, line)
        return self._reply(connection, line)  # type: ignore[return-value]


class _Everything(StatefulProtocol[LineState]):
    """Shows who the client is and what it sent so far."""

    state_type = LineState

    def connected(self, connection: Connection[LineState]) -> None:
        connection.write(connection.remote_addr.encode() + b"\n")

    def data_received(self, connection: Connection[LineState], data: bytes) -> None:
        connection.append_bulk(data)
        connection.write(data)


def _app(protocol: StatefulProtocol[LineState], *, proxied: bool = False) -> App:
    app = App(store=MemorySessionStore())
    app.add("s", protocol, trusted_proxies=AccessRules() if proxied else None)
    return app


def _outcome(app: App, pieces: list[bytes]) -> tuple[bytes, bool]:
    client = ConnectionDriver(app, "s")
    client.uuid = UUID
    client.connect()
    client.send(*pieces)
    return client.output, client.closed


def lines(data: bytes) -> None:
    """Lines are the same for every split, with methods and with coroutines; none is over the limit."""
    stream, pieces = stream_in_pieces(data)
    expected, naive_closed = b"", False
    for number, whole in enumerate(split := stream.split(b"\n")):
        line = whole.removesuffix(b"\r")
        if len(line) > MAX_LINE:
            expected, naive_closed = expected + b"<too long>", True
        elif number < len(split) - 1:
            expected, naive_closed = expected + b"<%b>" % line, line == b"close"
        if naive_closed:
            break
    app, async_app = _app(_Lines()), _app(_AsyncLines())
    try:
        for each in (app, async_app):
            for cut in ([stream] if stream else [], pieces):
                assert _outcome(each, cut) == (expected, naive_closed)
    finally:
        async_app.close()


def echo(data: bytes) -> None:
    """The JSON echo service answers every split with the same lines."""
    stream, pieces = stream_in_pieces(data)
    whole, closed = _outcome(_echo(), [stream] if stream else [])
    assert _outcome(_echo(), pieces) == (whole, closed)
    for line in whole.splitlines():
        answer = msgspec.json.decode(line)
        assert answer.keys() == {"error", "limit"} or answer["uuid"] == UUID


def _echo() -> App:
    app = App(store=MemorySessionStore())
    app.add("s", EchoProtocol(worker=1, settings=EchoSettings(max_line=MAX_LINE)))
    return app


def proxy_header(data: bytes) -> None:
    """A PROXY line is refused or tells an address; behind the listener, no split changes who the client is."""
    stream, pieces = stream_in_pieces(data)
    try:
        remote_addr = parse_header(stream)
    except ProxyHeaderError:
        pass
    else:
        if remote_addr is not None:
            host, port = split_remote_addr(remote_addr)
            ipaddress.ip_address(host)
            assert 0 <= port <= 65535
    app = _app(_Everything(), proxied=True)
    assert _outcome(app, pieces) == _outcome(app, [stream] if stream else [])


def smtp(data: bytes) -> None:
    """The SMTP engine, saved and restored between two pieces, gives the same replies and mails as in one go.

    No mail that it keeps can become two further on, and the policy for bare newlines changes none but those that have
    some.
    """
    stream, pieces = stream_in_pieces(data)
    kept = []
    for policy in BareNewlines:
        settings = dataclasses.replace(SETTINGS, bare_newlines=policy)
        whole, outcome = converse([stream], settings), converse(pieces, settings)
        assert (outcome.replies, outcome.mails, outcome.closed) == (whole.replies, whole.mails, whole.closed)
        assert outcome.largest_state < 6000, (
            "a line, and a mail with as many recipients as may be, all at their longest"
        )
        assert outcome.most_kept <= LIMITS.message
        for transaction, text in whole.mails:
            assert transaction.rcpt_tos
            assert b"\0" not in text
            assert text.count(b"\r") == text.count(b"\n") == text.count(b"\r\n")
            [(_, onward)] = converse([b"EHLO c\r\n" + envelope() + dot_stuffed(text)]).mails
            assert onward == text
        kept.append([text for _, text in whole.mails])
    assert all(text in kept[1] for text in kept[0])
