"""Who may tell a client's address on the listeners behind the edge, and where clients may authenticate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

import pytest

from rr_tcp import App, ConfigurationError
from rr_tcp.testing import ConnectionDriver, MemorySessionStore
from services.smtp import open_mail_store
from workers import echo, smtp
from workers.edge import trusted_proxies

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
lo\t0000007F\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
lo\t0001007F\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\t0000000A\t0100000A\t0003\t0\t0\t0\t000000FF\t0\t0\t0
"""
"""172.17.0.0/16, 127.0.0.0/8 and 127.0.1.0/24, and two routes through gateways, as Linux writes them on x86-64."""


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    (tmp_path / "route").write_text(ROUTES)
    return tmp_path / "route"


@pytest.mark.parametrize("value", ["", " ", ",", " , "])
def test_nobody_is_trusted_where_nobody_is_named(value: str) -> None:
    rules = trusted_proxies({"EDGE_NETWORKS": value})
    assert not any(rules.allows(host) for host in ("127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1"))


def test_networks_and_addresses_are_trusted_and_nobody_else() -> None:
    rules = trusted_proxies({"EDGE_NETWORKS": "10.1.0.0/16, 192.0.2.1,2001:db8::/32"})
    assert all(rules.allows(host) for host in ("10.1.2.3", "192.0.2.1", "2001:db8::1"))
    assert not any(rules.allows(host) for host in ("10.2.2.3", "192.0.2.2", "2001:db9::1", "127.0.0.1"))


def test_a_host_name_stands_for_the_network_in_which_it_lies(routes: Path) -> None:
    rules = trusted_proxies({"EDGE_NETWORKS": "localhost"}, routes=routes)
    assert rules.allows("127.255.1.1")
    assert not any(rules.allows(host) for host in ("172.17.0.2", "10.0.0.1", "128.0.0.1"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("10.1.0.1/16", "EDGE_NETWORKS: '10.1.0.1/16' is no network"),
        ("10.1", "EDGE_NETWORKS: '10.1' is no network"),
        ("10.1.0.0/16;10.2.0.0/16", "is no network"),
        ("no-such-host.invalid", "the host 'no-such-host.invalid', whose network cannot be found"),
    ],
)
def test_what_is_no_network_and_no_host_is_an_error(value: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        trusted_proxies({"EDGE_NETWORKS": value})
    assert said in str(error.value)


def test_a_host_outside_of_all_networks_is_an_error(routes: Path) -> None:
    routes.write_text(ROUTES.replace("lo\t", "#\t").replace("\t0000007F", "\t00000001"))
    with pytest.raises(ConfigurationError, match=r"its address 127\.0\.0\.1 lies in no network that this machine"):
        trusted_proxies({"EDGE_NETWORKS": "localhost"}, routes=routes)


def test_a_system_without_a_table_of_routes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="whose network cannot be found"):
        trusted_proxies({"EDGE_NETWORKS": "localhost"}, routes=tmp_path / "none")


class Build(Protocol):
    def __call__(self, service: Callable[..., None], **env: str) -> App: ...


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Build]:
    """Makes an App with one service, which is closed after the test."""
    with ExitStack() as made:

        def build(service: Callable[..., None], **env: str) -> App:
            one = made.enter_context(closing(App(store=MemorySessionStore())))
            service(one, {"MAIL_STORE": f"sqlite:///{tmp_path}/mail.db", **env})
            return one

        yield build


@pytest.mark.parametrize(("service", "server"), [(smtp.add_to, "smtps"), (echo.add_to, "echos")])
def test_a_peer_that_is_no_trusted_proxy_is_closed_whatever_it_sends(
    app: Build, service: Callable[..., None], server: str
) -> None:
    served = app(service, EDGE_NETWORKS="192.0.2.0/24")
    stranger = ConnectionDriver(served, server, remote_addr="198.51.100.1:5000")
    assert stranger.connect() == b""
    assert stranger.closed
    proxy = ConnectionDriver(served, server, remote_addr="192.0.2.1:5000")
    proxy.connect()
    assert not proxy.closed


def test_the_client_that_the_proxy_tells_is_the_client(app: Build) -> None:
    served = app(echo.add_to, EDGE_NETWORKS="192.0.2.1")
    proxy = ConnectionDriver(served, "echos", remote_addr="192.0.2.1:5000")
    proxy.connect()
    answer = proxy.send(b"PROXY TCP4 203.0.113.9 192.0.2.1 56324 8890\r\nhello\n")
    assert b'"remote_addr":"203.0.113.9:56324"' in answer


def test_a_listener_for_auth_that_does_not_exist_is_an_error(app: Build) -> None:
    with pytest.raises(ConfigurationError, match="SMTP_AUTH_LISTENERS names 'smpts', which is no listener of the mail"):
        app(smtp.add_to, SMTP_AUTH_LISTENERS="smtp, smpts")


@pytest.mark.parametrize("listener", ["smtp", "smtps"])
def test_auth_is_where_it_is_named_and_only_there(app: Build, tmp_path: Path, listener: str) -> None:
    env = {"SMTP_AUTH_LISTENERS": listener, "SMTP_USERS": str(tmp_path / "users"), "EDGE_NETWORKS": "192.0.2.1"}
    served = app(smtp.add_to, **env)
    for server in ("smtp", "smtps"):
        client = ConnectionDriver(served, server, remote_addr="192.0.2.1:5000")
        client.connect()
        if server == "smtps":
            client.send(b"PROXY TCP4 203.0.113.9 192.0.2.1 56324 465\r\n")
        assert (b"250-AUTH" in client.send(b"EHLO c\r\n")) is (server == listener)


def test_mail_from_behind_the_edge_came_through_tls_with_or_without_users(app: Build, tmp_path: Path) -> None:
    served = app(smtp.add_to, EDGE_NETWORKS="192.0.2.1")
    client = ConnectionDriver(served, "smtps", remote_addr="192.0.2.1:5000")
    client.connect()
    client.send(
        b"PROXY TCP4 203.0.113.9 192.0.2.1 56324 465\r\n",
        b"EHLO c\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n",
        b"Subject: x\r\n\r\nx\r\n.\r\n",
    )
    with closing(open_mail_store(f"sqlite:///{tmp_path}/mail.db")) as store:
        store.open()
        [mail] = store.mails()
    assert (mail.peer, mail.protocol) == ("203.0.113.9:56324", "ESMTPS")
