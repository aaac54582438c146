r"""The PROXY protocol, version 1: a proxy's first line tells the client's own address.

    PROXY TCP4 192.0.2.1 198.51.100.7 56324 25\r\n

Source: "The PROXY protocol", versions 1 and 2, section 2.1 (HAProxy 2.x). Version 2 is binary and cannot pass
RoadRunner's delimiter.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from rr_tcp.errors import ProxyHeaderError

MAX_HEADER: Final = 107
"""Bytes of the line with its CRLF (section 2.1)."""

_ADDRESSES: Final = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}


def parse_header(line: bytes) -> str | None:
    """The client's `host:port` out of a header line.

    Args:
        line: the line with its CRLF.

    Returns:
        None when the proxy says that it does not know the client (UNKNOWN), as for its own health checks.

    Raises:
        ProxyHeaderError: the line is no header of version 1.
    """
    if len(line) > MAX_HEADER or not line.endswith(b"\r\n") or not line.startswith(b"PROXY "):
        raise ProxyHeaderError(f"no PROXY header of version 1: {line[:MAX_HEADER]!r}")
    fields = line[:-2].decode("ascii", "replace").split(" ")
    if fields[1] == "UNKNOWN":
        return None
    try:
        _, family, source, destination, source_port, destination_port = fields
        address = _ADDRESSES[family](source)
        _ADDRESSES[family](destination)
        _port(destination_port)
        return f"[{address}]:{_port(source_port)}" if family == "TCP6" else f"{address}:{_port(source_port)}"
    except (KeyError, ValueError) as error:
        raise ProxyHeaderError(f"no PROXY header of version 1: {line!r}") from error


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise ValueError(text)
    return int(text)
