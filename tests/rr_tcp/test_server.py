"""The check of the ports, before a server starts that would share them."""

from __future__ import annotations

import socket

import pytest

from rr_tcp.errors import ConfigurationError
from rr_tcp.server import check_free
from rr_tcp.testing import free_ports

HERE = "127.0.0.1"


def test_ports_that_nobody_has_are_free() -> None:
    one, other = free_ports(2)
    check_free({"ONE": (HERE, one), "OTHER": (HERE, other)}, host_setting="HOST")


@pytest.mark.parametrize("other", ["127.0.0.2", "[::1]"])
def test_one_port_on_two_addresses_is_free(other: str) -> None:
    [port] = free_ports(1)
    check_free({"ONE": (HERE, port), "OTHER": (other, port)}, host_setting="HOST")


@pytest.mark.parametrize(("one", "other"), [(HERE, HERE), ("0.0.0.0", HERE), (HERE, "[::]"), ("[::1]", "[::1]")])  # noqa: S104 - nothing listens
def test_a_port_for_two_is_refused(one: str, other: str) -> None:
    [port] = free_ports(1)
    with pytest.raises(ConfigurationError, match=f"ONE and OTHER both have the port {port}"):
        check_free({"ONE": (one, port), "OTHER": (other, port)}, host_setting="HOST")


def test_a_port_that_is_taken_has_its_setting_named_and_another_port() -> None:
    with socket.socket() as sock:
        sock.bind((HERE, 0))
        sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"{port}: Address already in use\. Set ONE to another port, e"):
            check_free({"ONE": (HERE, port)}, host_setting="HOST")


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "256.0.0.1", "[2001:db8::1]"])
def test_an_address_that_is_none_of_this_machine_has_its_own_setting_named(host: str) -> None:
    with pytest.raises(ConfigurationError, match="Have HOST name an IP address of this machine"):
        check_free({"ONE": (host, free_ports(1)[0])}, host_setting="HOST")
