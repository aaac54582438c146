"""The listeners behind the edge: a proxy that ends TLS, and tells clients' addresses by the PROXY protocol's line."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from rr_tcp import AccessRules, ConfigurationError

SMTPS: Final = "smtps"
"""The mail service's server for clients that come through TLS."""

ECHOS: Final = "echos"
"""The echo's."""

_NOBODY: Final = AccessRules(deny=["0.0.0.0/0", "::/0"])
_ROUTES: Final = Path("/proc/net/route")
_HOST_NAME: Final = re.compile(r"[a-z0-9_-]*[a-z_-][a-z0-9_.-]*", re.IGNORECASE | re.ASCII)


def trusted_proxies(env: Mapping[str, str], *, routes: Path = _ROUTES) -> AccessRules:
    """Who may tell a client's address on the listeners behind the edge: what EDGE_NETWORKS says, or nobody.

    Args:
        env: the variables. EDGE_NETWORKS has networks in CIDR form, addresses and host names, separated by commas. A
            host name stands for the network in which it lies and to which this machine is connected; so a network
            that gets its addresses at the last moment, as Docker's do, can be told by what is in it.
        routes: Linux's table of IPv4 routes, as /proc/net/route has it.

    Raises:
        ConfigurationError: an entry is no network, or the host of that name cannot be found, or lies in no network
            of this machine.
    """
    entries = [entry for part in env.get("EDGE_NETWORKS", "").split(",") if (entry := part.strip())]
    networks = [_network_of(entry, routes) if _HOST_NAME.fullmatch(entry) else entry for entry in entries]
    try:
        return AccessRules(allow=networks) if networks else _NOBODY
    except ConfigurationError as error:
        raise ConfigurationError(f"EDGE_NETWORKS: {error}, or the name of a host in the edge's network") from error


def _network_of(name: str, routes: Path) -> str:
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
        networks = list(_connected(routes))
    except OSError as error:
        raise ConfigurationError(
            f"EDGE_NETWORKS names the host {name!r}, whose network cannot be found: {error}. Give a network in CIDR "
            "form, e.g. 10.0.0.0/8, or the name of a host in the edge's network"
        ) from error
    address = ipaddress.IPv4Address(found[0][4][0])
    network = max((network for network in networks if address in network), key=lambda n: n.prefixlen, default=None)
    if network is None:
        raise ConfigurationError(
            f"EDGE_NETWORKS names the host {name!r}, and its address {address} lies in no network that this machine "
            "is connected to: give the edge's network in CIDR form, e.g. 10.0.0.0/8"
        )
    return str(network)


def _connected(routes: Path) -> Iterator[ipaddress.IPv4Network]:
    """The networks that need no gateway."""
    for line in routes.read_text().splitlines()[1:]:
        _, destination, gateway, *_, mask, _mtu, _window, _irtt = line.split()
        if int(gateway, 16) == 0 and int(mask, 16) != 0:
            yield ipaddress.IPv4Network((_address(destination), _address(mask)))


def _address(number: str) -> str:
    """An address out of the table, which has the number that lies in memory."""
    return socket.inet_ntoa(struct.pack("=L", int(number, 16)))
