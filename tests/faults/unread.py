"""How much of what a client sent still waits to be read, as the kernel of Linux tells (sock_diag(7)).

A test that cuts a stream has to know that the server read one piece before it sends the next: else the kernel may put
them together again. `/proc/net/tcp` tells the same, in milliseconds; this takes microseconds.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Final

_SOCK_DIAG: Final = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST: Final = 1  # NLM_F_REQUEST
_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_QUERY: Final = struct.Struct("=BBBxI")  # inet_diag_req_v2 up to the id: family, protocol, extensions, states
_ID: Final = struct.Struct("!HH4s12x4s12x")  # inet_diag_sockid up to the interface: ports and addresses
_ANY: Final = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)  # interface, and no cookie
_ANSWER: Final = struct.Struct("=16xBB2x48xII")  # family, state; then expires, rqueue

_ESTABLISHED: Final = 1
_CLOSE_WAIT: Final = 8

_LOOPBACK: Final = ipaddress.IPv4Address("127.0.0.1").packed


def unread(server: int, client: int) -> int:
    """Bytes that wait in the server's end of a connection on 127.0.0.1, by both ports; none when it is closed."""
    body = _QUERY.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
    body += _ID.pack(server, client, _LOOPBACK, _LOOPBACK) + _ANY
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as netlink:
        netlink.send(_HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST, 0, 0) + body)
        answer = netlink.recv(4096)
    if _HEADER.unpack_from(answer)[1] != _BY_FAMILY:  # an error: there is no such connection
        return 0
    _, state, _, waiting = _ANSWER.unpack_from(answer)
    return int(waiting) if state in {_ESTABLISHED, _CLOSE_WAIT} else 0
