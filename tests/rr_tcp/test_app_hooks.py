"""What stands around an App's handlers: middleware, start-up and shutdown callbacks."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from rr_tcp import App, Connection, LineProtocol, LineState, Request, Response, TcpEvent, TcpResponse, Worker
from rr_tcp.middleware import Handle, Middleware, log_events, time_events
from rr_tcp.testing import ConnectionDriver, FakeRelay, MemorySessionStore, event_frame


class Answer(LineProtocol[LineState]):
    state_type = LineState
    error_reply = b"sorry\n"

    def connected(self, connection: Connection[LineState]) -> None:
        connection.write(b"hello\n")

    def line_received(self, connection: Connection[LineState], line: bytes) -> None:
        if line == b"raise":
            fail()
        connection.write(b"answer\n")


def fail() -> None:
    raise RuntimeError("on purpose")


@pytest.fixture
def app() -> Iterator[App]:
    app = App(store=MemorySessionStore())
    app.add("notes", Answer())
    yield app
    app.close()


def test_middleware_stands_around_every_event_the_first_one_outermost(app: App) -> None:
    seen = []

    def named(name: str) -> Middleware:
        def middleware(request: Request, handle: Handle) -> Response:
            seen.append(f"{name} {request.event}")
            response = handle(request)
            seen.append(f"{name} {response.action}")
            return response

        return middleware

    app.use(named("outer"))
    app.use(named("inner"))
    ConnectionDriver(app, "notes").connect()
    assert seen == ["outer CONNECTED", "inner CONNECTED", "inner WRITE", "outer WRITE"]


def test_middleware_stands_around_services_that_come_later_too(app: App) -> None:
    def shout(request: Request, handle: Handle) -> Response:
        return Response.of(handle(request).body.upper(), close=False)

    app.use(shout)
    app.on("later")(lambda request: request.body)
    assert ConnectionDriver(app, "later").send(b"hear me\n") == b"HEAR ME\n"


def test_middleware_may_answer_itself_and_what_it_raises_ends_the_connection(app: App) -> None:
    def moody(request: Request, handle: Handle) -> Response:
        match request.body:
            case b"no\n":
                return Response(TcpResponse.WRITECLOSE, b"no entry\n")
            case b"raise\n":
                raise RuntimeError("in the middle")
        return handle(request)

    app.use(moody)
    driver = ConnectionDriver(app, "notes")
    driver.connect()
    assert driver.send(b"yes\n", b"no\n") == b"answer\nno entry\n"
    driver = ConnectionDriver(app, "notes")
    driver.connect()
    assert driver.send(b"raise\n") == b"sorry\n"


def test_events_are_timed_also_when_they_fail(app: App) -> None:
    observed = []
    ticks = iter(range(100))
    observe = time_events(lambda request, seconds: observed.append((request.event, seconds)), lambda: next(ticks))
    app.use(observe)
    driver = ConnectionDriver(app, "notes")
    driver.connect()
    driver.send(b"raise\n")
    assert observed == [(TcpEvent.CONNECTED, 1), (TcpEvent.DATA, 1)]


def test_logged_events_have_names_and_sizes_and_no_contents(app: App, caplog: pytest.LogCaptureFixture) -> None:
    app.use(log_events)
    driver = ConnectionDriver(app, "notes")
    driver.connect()
    with caplog.at_level(logging.INFO):
        driver.send(b"a secret\n")
    assert f"DATA of connection {driver.uuid} from 127.0.0.1:50000 on server 'notes', 9 bytes: WRITE" in caplog.text
    assert "secret" not in caplog.text


def test_startup_runs_before_the_first_event_and_a_failure_starts_nothing() -> None:
    order = []
    app = App()

    @app.on("clock")
    def clock(request: Request) -> None:
        order.append(str(request.event))

    async def start_async() -> None:
        order.append("started")

    app.on_startup(start_async)
    app.on_startup(lambda: order.append("then this"))
    app.on_shutdown(lambda: order.append("stopped"))
    app.run(Worker(FakeRelay([event_frame(TcpEvent.CONNECTED, server="clock")])))
    assert order == ["started", "then this", "CONNECTED", "stopped"]

    failing = App()
    failing.on_startup(fail)
    relay = FakeRelay([event_frame(TcpEvent.CONNECTED, server="clock")])
    with pytest.raises(RuntimeError, match="on purpose"):
        failing.run(Worker(relay))
    assert relay.sent == []


def test_a_shutdown_callback_that_raises_keeps_no_other_from_running() -> None:
    closed = []
    store = MemorySessionStore()
    store.close = lambda: closed.append("store")  # type: ignore[method-assign]
    app = App(store=store)
    app.on_shutdown(lambda: closed.append("first"))
    app.on_shutdown(fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        app.close()
    assert closed == ["first", "store"]
