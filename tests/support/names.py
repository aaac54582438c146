"""A name server for one name, whose addresses a test changes as Docker does when replicas come and go."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_HEADER: Final = struct.Struct("!6H")
_A: Final = 1
_ANSWER: Final = 0x8180  # a response, recursion desired and available, no error


@dataclass(slots=True)
class Names:
    """The server.

    Attributes:
        port: where it answers, on 127.0.0.1.
        addresses: of IPv4, what any name has now.
    """

    port: int
    addresses: Sequence[str]

    def answer(self, query: bytes) -> bytes:
        """RFC 1035 section 4.1: the header, the question again, an address record for each address."""
        number, *_ = _HEADER.unpack_from(query)
        end = query.index(b"\0", _HEADER.size) + 5
        (kind,) = struct.unpack_from("!H", query, end - 4)
        addresses = self.addresses if kind == _A else ()
        records = (b"\xc0\x0c" + struct.pack("!HHIH", _A, 1, 1, 4) + socket.inet_aton(one) for one in addresses)
        header = _HEADER.pack(number, _ANSWER, 1, len(addresses), 0, 0)
        return header + query[_HEADER.size : end] + b"".join(records)


@contextlib.contextmanager
def name_server(*addresses: str) -> Iterator[Names]:
    """A name server for the time of the block."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        names = Names(sock.getsockname()[1], addresses)

        def serve() -> None:
            while True:
                query, client = sock.recvfrom(4096)
                if not query:
                    return
                sock.sendto(names.answer(query), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield names
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", ("127.0.0.1", names.port))
            thread.join()
