"""The PROXY protocol's line in front of a stateful protocol."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rr_tcp import AccessRules, App, Connection, LineProtocol, LineState, SessionStoreError
from rr_tcp.connection import SPILL
from rr_tcp.errors import ProxyHeaderError
from rr_tcp.proxy_protocol import MAX_HEADER, parse_header
from rr_tcp.testing import ConnectionDriver, MemorySessionStore, cuts

HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n"


class Who(LineProtocol[LineState]):
    """Greets and answers with the client's address."""

    state_type = LineState

    def __init__(self) -> None:
        self.closed_by: list[str] = []

    def connected(self, connection: Connection[LineState]) -> None:
        connection.write(b"hello " + connection.remote_addr.encode() + b"\n")

    def line_received(self, connection: Connection[LineState], line: bytes) -> None:
        if line == b"much":
            connection.append_bulk(bytes(SPILL))
        connection.write(line + b" " + connection.remote_addr.encode() + b"\n")

    def closed(self, connection: Connection[LineState]) -> None:
        self.closed_by.append(connection.remote_addr)


@pytest.fixture
def protocol() -> Who:
    return Who()


@pytest.fixture
def app(protocol: Who) -> App:
    app = App(store=MemorySessionStore())
    access = AccessRules(deny=["203.0.113.0/24"])
    app.add("who", protocol, access=access, trusted_proxies=AccessRules(allow=["10.0.0.1"]))
    return app


def proxy(app: App, remote_addr: str = "10.0.0.1:4000") -> ConnectionDriver:
    driver = ConnectionDriver(app, "who", remote_addr=remote_addr)
    assert driver.connect() == b""
    return driver


def test_the_client_is_greeted_after_the_header_and_known_by_its_own_address(app: App) -> None:
    expected = b"hello 192.0.2.1:56324\none 192.0.2.1:56324\ntwo 192.0.2.1:56324\n"
    for pieces in cuts(HEADER + b"one\ntwo\n"):
        assert proxy(app).send(*pieces) == expected


def test_closed_knows_the_clients_address(app: App, protocol: Who) -> None:
    driver = proxy(app)
    driver.send(HEADER)
    driver.end()
    assert protocol.closed_by == ["192.0.2.1:56324"]


def test_bulk_data_that_is_stored_on_the_way_leaves_the_session_as_it_was(app: App, protocol: Who) -> None:
    """The event does not change the state, so what was stored beside the bulk data stays."""
    driver = proxy(app)
    driver.send(HEADER, b"one\n")
    assert driver.send(b"much\n", b"one\n") == b"much 192.0.2.1:56324\none 192.0.2.1:56324\n"
    driver.end()
    assert protocol.closed_by == ["192.0.2.1:56324"]


def test_a_last_piece_after_close_is_answered(app: App) -> None:
    driver = proxy(app)
    driver.send(HEADER)
    assert driver.end(b"last") == b"last 192.0.2.1:56324\n"


def test_an_end_before_the_header_is_no_connection_to_the_protocol(app: App, protocol: Who) -> None:
    driver = proxy(app)
    assert driver.end(b"PROXY") == b""
    assert protocol.closed_by == []


def test_only_a_trusted_proxy_may_connect(app: App) -> None:
    driver = ConnectionDriver(app, "who", remote_addr="10.0.0.2:4000")
    assert driver.connect() == b""
    assert driver.closed


def test_access_rules_are_about_the_client_and_not_the_proxy(app: App) -> None:
    driver = proxy(app)
    assert driver.send(HEADER.replace(b"192.0.2.1", b"203.0.113.5")) == b""
    assert driver.closed


@pytest.mark.parametrize("first", [b"EHLO client\r\n", b"x" * 200, b"PROXY TCP4 nobody\r\n", HEADER[:-2] + b"\n"])
def test_a_connection_without_a_header_is_closed_without_a_word(app: App, first: bytes) -> None:
    driver = proxy(app)
    assert driver.send(first) == b""
    assert driver.closed


def test_an_unknown_client_has_the_proxys_address(app: App) -> None:
    assert proxy(app).send(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n") == b"hello 10.0.0.1:4000\n"


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (HEADER, "192.0.2.1:56324"),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", "[2001:db8::1]:1"),
        (b"PROXY UNKNOWN\r\n", None),
    ],
)
def test_a_header_tells_an_address(header: bytes, address: str | None) -> None:
    assert parse_header(header) == address


@pytest.mark.parametrize(
    "header",
    [
        b"\r\n",
        b"PROXY \r\n",
        b"PROXY TCP5 192.0.2.1 198.51.100.7 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 1\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 1 2 3\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 1 65536\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 -1 2\r\n",
        b"PROXY TCP4 2001:db8::1 198.51.100.7 1 2\r\n",
        b"PROXY TCP6 2001:db8::1 198.51.100.7 1 2\r\n",
        b"PROXY  TCP4 192.0.2.1 198.51.100.7 1 2\r\n",
        b"proxy TCP4 192.0.2.1 198.51.100.7 1 2\r\n",
        b"PROXY UNKNOWN " + b"x" * MAX_HEADER + b"\r\n",
        HEADER + b"\r\n",
    ],
)
def test_anything_else_is_no_header(header: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        parse_header(header)


@given(st.binary(max_size=120))
def test_no_bytes_raise_anything_but_the_headers_own_error(junk: bytes) -> None:
    for line in (junk, b"PROXY " + junk + b"\r\n"):
        with contextlib.suppress(ProxyHeaderError):
            parse_header(line)


@pytest.mark.parametrize(("behind", "told"), [(b"", b""), (b"one\n", b"hello 192.0.2.1:56324\none 192.0.2.1:56324\n")])
def test_what_was_done_behind_the_header_is_told_even_if_it_cannot_be_saved(behind: bytes, told: bytes) -> None:
    class Unsaving(MemorySessionStore):
        failing = False

        def save(self, key: str, state: bytes, **options: Any) -> None:
            if self.failing:
                raise SessionStoreError("no room")
            super().save(key, state, **options)

    store = Unsaving()
    app = App(store=store)
    app.add("who", Who(), trusted_proxies=AccessRules(allow=["10.0.0.1"]))
    driver = proxy(app)
    store.failing = True
    assert driver.send(HEADER + behind) == told + Who.error_reply
    assert driver.closed
