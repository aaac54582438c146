"""Who may connect, by address."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from rr_tcp.errors import ConfigurationError

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
"""Where IPv4 addresses lie in IPv6 form (RFC 4291 2.5.5.2)."""

_LAST_32_BITS: Final = 0xFFFFFFFF


class AccessRules:
    """Networks that may connect and networks that may not.

    A denied address is refused; with `allow` given, so is every address outside of it. An IPv4 address in IPv6 form
    (`::ffff:192.0.2.1`) counts as the IPv4 address, also in a rule. A client without an IP address, of a unix socket,
    is refused where `allow` is given.

    Args:
        allow: networks in CIDR form, or addresses; all when empty.
        deny: the same; they win over `allow`.

    Raises:
        ConfigurationError: an entry is no network.
    """

    def __init__(self, *, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        self._allow = [_network(text) for text in allow]
        self._deny = [_network(text) for text in deny]

    def allows(self, host: str) -> bool:
        """Whether a client with this IP address may connect."""
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return not self._allow
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self._deny):
            return False
        return not self._allow or any(address in network for network in self._allow)


def _network(text: str) -> _Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} is no network: {error}. Use CIDR form, e.g. 10.0.0.0/8, 192.0.2.1 or 2001:db8::/32"
        ) from error
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((int(network.network_address) & _LAST_32_BITS, network.prefixlen - 96))
    return network
