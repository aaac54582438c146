"""Every event and every store call is counted, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from rr_tcp import App, Connection, Request, SessionStoreError, StatefulProtocol
from rr_tcp.observability import EventMetrics, Reporter
from rr_tcp.testing import ConnectionDriver, MemorySessionStore
from tests.rr_tcp.observability.page import Page


class Lines(msgspec.Struct):
    count: int = 0


class Protocol(StatefulProtocol[Lines]):
    state_type = Lines

    def data_received(self, connection: Connection[Lines], data: bytes) -> None:
        match data:
            case b"raise\n":
                raise RuntimeError("on purpose")
            case b"bulk\n":
                connection.write(b"%d\n" % len(b"".join(connection.iter_bulk())))
            case _:
                connection.append_bulk(data)
                connection.state.count += 1
                connection.write(b"ok\n")


class Clock:
    """Each look at it takes a quarter of a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.25
        return self.now


class FailingStore(MemorySessionStore):
    failing = False

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        if self.failing:
            raise SessionStoreError("the disk is gone")
        super().save(key, state, ttl=ttl, append=append, truncate=truncate, server=server)


class Stack:
    def __init__(self) -> None:
        self.page = Page()
        self.reporter = Reporter(self.page, interval=3600)
        metrics = EventMetrics(self.reporter, clock=Clock())
        self.store = FailingStore()
        self.app = App(store=metrics.around(self.store))
        metrics.install(self.app)
        self.app.add("lines", Protocol())

    def lines(self) -> dict[str, float]:
        """What is not 0 on the page, as in its text; without buckets."""
        self.reporter.report()
        return {
            " ".join(key): value for key, value in self.page.lines.items() if value and not key[0].endswith("_bucket")
        }

    def client(self) -> ConnectionDriver:
        driver = ConnectionDriver(self.app, "lines")
        driver.connect()
        return driver


@pytest.fixture
def stack() -> Iterator[Stack]:
    stack = Stack()
    yield stack
    stack.app.close()


def test_events_are_counted_by_server_and_kind_with_their_bytes_and_time(stack: Stack) -> None:
    client = stack.client()
    client.send(b"one\n")
    client.send(b"two\n")
    client.end()
    lines = stack.lines()
    assert lines["rr_tcp_events_total lines CONNECTED"] == 1
    assert lines["rr_tcp_events_total lines DATA"] == 2
    assert lines["rr_tcp_events_total lines CLOSE"] == 1
    assert lines["rr_tcp_received_bytes_total lines"] == len(b"one\ntwo\n")
    assert lines["rr_tcp_sent_bytes_total lines"] == len(b"ok\nok\n")
    assert lines["rr_tcp_event_duration_seconds_count lines"] == 4
    assert lines["rr_tcp_event_duration_seconds_sum lines"] > lines["rr_tcp_store_duration_seconds_sum load"]
    assert "rr_tcp_event_errors_total lines" not in lines


def test_store_calls_are_timed_by_operation_and_leave_the_result_as_it_is(stack: Stack) -> None:
    client = stack.client()
    client.send(b"four\n")
    assert client.send(b"bulk\n") == b"5\n"
    client.end()
    lines = stack.lines()
    assert lines["rr_tcp_store_duration_seconds_count load"] == 3
    assert lines["rr_tcp_store_duration_seconds_sum load"] == 3 * 0.25
    assert lines["rr_tcp_store_duration_seconds_count save"] >= 2
    assert lines["rr_tcp_store_duration_seconds_count read_bulk"] >= 1
    assert lines["rr_tcp_store_duration_seconds_count end"] == 1


def test_an_event_that_failed_is_an_error_and_an_event(stack: Stack) -> None:
    client = stack.client()
    assert client.send(b"raise\n") == Protocol.error_reply
    lines = stack.lines()
    assert lines["rr_tcp_event_errors_total lines"] == 1
    assert lines["rr_tcp_events_total lines DATA"] == 1
    assert lines["rr_tcp_event_duration_seconds_count lines"] == 2


def test_a_store_that_fails_is_an_error_of_both(stack: Stack) -> None:
    client = stack.client()
    stack.store.failing = True
    assert client.send(b"one\n") == b"ok\n" + Protocol.error_reply
    lines = stack.lines()
    assert lines["rr_tcp_store_errors_total save"] == 1
    assert lines["rr_tcp_event_errors_total lines"] == 1


def test_a_worker_that_starts_says_so_and_has_the_lines_of_its_servers(stack: Stack) -> None:
    for callback in stack.app._startup:
        callback()
    stack.reporter.close()
    assert stack.page.lines["rr_tcp_worker_starts_total",] == 1
    assert stack.page.lines["rr_tcp_events_total", "lines", "DATA"] == 0
    assert ("rr_tcp_events_total", "lines", "DATA") in stack.page.lines


def test_functions_are_counted_too() -> None:
    page = Page()
    reporter = Reporter(page, interval=3600)
    app = App()
    EventMetrics(reporter).install(app)

    @app.on("echo")
    def echo(request: Request) -> bytes:
        return request.body

    ConnectionDriver(app, "echo").send(b"x\n")
    reporter.report()
    app.close()
    assert page.lines["rr_tcp_events_total", "echo", "DATA"] == 1
