"""Who is counted, who is refused with what, and what a store that fails costs: nobody."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import ClassVar

import pytest

from rr_tcp import AccessRules, Admission, App, ClientLimits, ConfigurationError, Connection, LineProtocol, LineState
from rr_tcp.admission import UNCHECKED, WINDOW, Verdict, client_of
from rr_tcp.errors import SessionStoreError
from rr_tcp.stores import open_store
from rr_tcp.testing import ConnectionDriver, MemorySessionStore
from rr_tcp.wrapped_store import WrappedStore
from services.echo import EchoProtocol
from services.smtp import SmtpProtocol, SmtpSettings
from tests.support.clock import Clock

ONE, OTHER = "192.0.2.1:50000", "192.0.2.2:50000"


class Talk(LineProtocol[LineState]):
    state_type = LineState
    error_reply: ClassVar[bytes] = b"failed\n"
    refused_reply: ClassVar[bytes] = b"too many\n"

    def connected(self, connection: Connection[LineState]) -> None:
        connection.write(b"hello\n")

    def line_received(self, connection: Connection[LineState], line: bytes) -> None:
        match line:
            case b"bye":
                connection.close()
            case b"fail":
                raise RuntimeError("on purpose")


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def store(clock: Clock) -> MemorySessionStore:
    return MemorySessionStore(clock)


def make_app(store: MemorySessionStore, limits: ClientLimits, *, trusted_proxies: AccessRules | None = None) -> App:
    app = App(store=store, admission=Admission(store, limits))
    for server in ("talk", "chat"):
        app.add(server, Talk(), trusted_proxies=trusted_proxies)
    return app


@pytest.fixture
def app(store: MemorySessionStore) -> Iterator[App]:
    app = make_app(store, ClientLimits(connections=2))
    yield app
    app.close()


def connect(app: App, address: str = ONE, server: str = "talk") -> ConnectionDriver:
    client = ConnectionDriver(app, server, remote_addr=address)
    client.connect()
    return client


def full(app: App, address: str = ONE) -> bool:
    """Whether the address has as many connections as it may; one that is let in ends again."""
    client = connect(app, address)
    if not client.closed:
        client.end()
    return client.closed


def test_one_too_many_is_told_so_in_the_services_words(app: App) -> None:
    connect(app)
    connect(app, server="chat")
    refused = connect(app)
    assert (refused.output, refused.closed) == (b"too many\n", True)
    refused.end()
    assert full(app)
    assert connect(app, OTHER).output == b"hello\n"


@pytest.mark.parametrize("how", ["client", "protocol", "failure"])
def test_whoever_ends_a_connection_it_counts_no_more(app: App, how: str) -> None:
    connect(app)
    client = connect(app)
    assert full(app)
    match how:
        case "client":
            client.end()
        case "protocol":
            client.send(b"bye\n")
        case _:
            assert client.send(b"fail\n") == b"failed\n"
    assert not full(app)


def test_an_end_that_nobody_reported_is_noticed(app: App, store: MemorySessionStore, clock: Clock) -> None:
    connect(app)
    lost = connect(app)
    store.delete(lost.uuid)
    assert full(app)
    clock.now += UNCHECKED + 1
    assert not full(app)


def test_the_minute_counts_those_that_left_and_those_that_were_refused(store: MemorySessionStore, clock: Clock) -> None:
    app = make_app(store, ClientLimits(per_minute=2))
    assert [full(app) for _ in range(4)] == [False, False, True, True]
    clock.now += WINDOW
    assert not full(app)
    app.close()


def test_an_ipv6_client_is_its_network(app: App) -> None:
    connect(app, "[2001:db8:0:1::1]:50000")
    connect(app, "[2001:db8:0:1:ffff::2]:50000")
    assert full(app, "[2001:db8:0:1::3]:50000")
    assert not full(app, "[2001:db8:0:2::1]:50000")


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", None),
        ("@", None),
    ],
)
def test_what_an_address_counts_for(host: str, client: str | None) -> None:
    assert client_of(host) == client


def test_clients_without_an_address_and_exempt_networks_have_no_limits(store: MemorySessionStore) -> None:
    app = make_app(store, ClientLimits(connections=1, per_minute=1, exempt=("192.0.2.0/24", "::1")))
    for address in ("", ONE, "[::1]:50000"):
        assert not any(connect(app, address).closed for _ in range(5))
    assert [connect(app, "198.51.100.1:1").closed for _ in range(2)] == [False, True]
    app.close()


def test_behind_a_proxy_its_clients_are_counted_and_it_is_not(store: MemorySessionStore) -> None:
    app = make_app(store, ClientLimits(connections=1), trusted_proxies=AccessRules(allow=["192.0.2.1"]))

    def proxied(header: bytes) -> ConnectionDriver:
        client = connect(app)
        client.send(header)
        return client

    header = b"PROXY TCP4 198.51.100.%d 203.0.113.1 50000 25\r\n"
    first = proxied(header % 1)
    assert first.output == b"hello\n"
    assert (proxied(header % 1).output, proxied(header % 2).output) == (b"too many\n", b"hello\n")
    assert [proxied(b"PROXY UNKNOWN\r\n").output for _ in range(5)] == [b"hello\n"] * 5
    first.end()
    assert proxied(header % 1).output == b"hello\n"
    app.close()


class FailingStore(MemorySessionStore):
    """Keeps sessions, and cannot count."""

    def admit(self, client: str, key: str, *, connections: int | None, per_minute: int | None) -> Verdict:
        raise SessionStoreError(f"cannot count {client} {key} {connections} {per_minute}")

    def leave(self, client: str, key: str) -> None:
        raise SessionStoreError(f"cannot count {client} {key}")


def test_a_store_that_cannot_count_refuses_nobody_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app(FailingStore(), ClientLimits(connections=1, per_minute=1))
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            client = connect(app)
            assert client.output == b"hello\n"
            client.send(b"bye\n")
            assert client.closed
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "clients are not held to their limits while their connections cannot be counted"
    ]
    app.close()


def test_a_store_that_has_no_way_to_count_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="need a session store on LMDB or Redis, and a RoadRunnerStore"):
        Admission(open_store("rrkv://sessions"), ClientLimits(connections=1))


@pytest.mark.parametrize("limits", [{"connections": 0}, {"per_minute": -1}])
def test_limits_that_refuse_everybody_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=f"a client's {next(iter(limits))} limit is 1 or more"):
        ClientLimits(connections=limits.get("connections"), per_minute=limits.get("per_minute"))


def test_the_services_have_words_of_their_own(store: MemorySessionStore) -> None:
    app = App(store=store, admission=Admission(store, ClientLimits(connections=1)))
    app.add("smtp", SmtpProtocol(SmtpSettings(mail_store="sqlite:////nonexistent/never-opened")))
    app.add("echo", EchoProtocol(worker=1))
    connect(app, server="echo")
    assert connect(app, server="echo").output == b'{"error":"too many connections"}\n'
    assert connect(app, server="smtp").output == (
        b"421 4.7.0 Too many connections from your address, try again later\r\n"
    )
    app.close()


def test_behind_a_proxy_a_failed_event_uncounts_the_client_and_not_the_proxy(store: MemorySessionStore) -> None:
    app = make_app(store, ClientLimits(connections=1), trusted_proxies=AccessRules(allow=["192.0.2.1"]))
    for together in (True, False):
        client = connect(app)
        pieces = (b"PROXY TCP4 198.51.100.1 203.0.113.1 50000 25\r\n", b"fail\n")
        client.send(*([b"".join(pieces)] if together else pieces))
        assert client.output.endswith(b"failed\n")
        assert client.closed
    app.close()


def test_a_store_around_another_leaves_the_counting_to_it(store: MemorySessionStore) -> None:
    around = WrappedStore(WrappedStore(store))
    app = App(store=around, admission=Admission(around, ClientLimits(connections=1)))
    app.add("talk", Talk())
    assert [connect(app).output for _ in range(2)] == [b"hello\n", b"too many\n"]
    app.close()
