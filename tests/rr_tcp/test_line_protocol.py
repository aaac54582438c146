"""Lines, however the bytes were cut, handled by functions or coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from rr_tcp import App, Connection, LineProtocol, LineState
from rr_tcp.testing import ConnectionDriver, MemorySessionStore, cuts


class Shout(LineProtocol[LineState]):
    state_type = LineState
    max_line = 10

    def line_received(self, connection: Connection[LineState], line: bytes) -> None:
        if line == b"bye":
            connection.close()
        connection.write(b"<" + line.upper() + b">")

    def line_too_long(self, connection: Connection[LineState]) -> None:
        connection.write(b"<too long>")


class AsyncShout(Shout):
    async def line_received(self, connection: Connection[LineState], line: bytes) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().line_received(connection, line)


@pytest.fixture(params=[Shout, AsyncShout])
def app(request: pytest.FixtureRequest) -> Iterator[App]:
    app = App(store=MemorySessionStore())
    app.add("shout", request.param())
    yield app
    app.close()


def client(app: App) -> ConnectionDriver:
    driver = ConnectionDriver(app, "shout")
    driver.connect()
    return driver


def test_any_split_gives_the_same_lines(app: App) -> None:
    for pieces in cuts(b"one\ntwo\r\n\n\r\na\rb\nlast\n"):
        assert client(app).send(*pieces) == b"<ONE><TWO><><><A\rB><LAST>"


def test_what_the_client_leaves_unfinished_is_its_last_line(app: App) -> None:
    driver = client(app)
    driver.send(b"one\nun")
    assert driver.end(b"finished") == b"<UNFINISHED>"


def test_an_end_after_a_whole_line_is_no_line(app: App) -> None:
    driver = client(app)
    assert driver.end(b"one\n") == b"<ONE>"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_at_the_limit_is_a_line(app: App, end: bytes) -> None:
    for pieces in cuts(b"x" * 10 + end):
        assert client(app).send(*pieces) == b"<" + b"X" * 10 + b">"


def test_a_line_over_the_limit_ends_the_connection(app: App) -> None:
    for pieces in cuts(b"ok\n" + b"x" * 11 + b"\nnever\n"):
        driver = client(app)
        assert driver.send(*pieces) == b"<OK><too long>"
        assert driver.closed


def test_what_follows_a_close_is_dropped(app: App) -> None:
    for pieces in cuts(b"bye\nnever\n" + b"x" * 11):
        assert client(app).send(*pieces) == b"<BYE>"


def test_thousands_of_lines_in_one_event_are_handled(app: App) -> None:
    assert client(app).send(b"x\n" * 5000) == b"<X>" * 5000
