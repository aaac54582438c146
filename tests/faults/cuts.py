"""Connections whose bytes reach the server in the pieces that a case says, and no others."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from tests.e2e.clients import RawClient
from tests.e2e.targets import Address
from tests.faults.fault import Surroundings
from tests.faults.unread import unread

READ_TIMEOUT: Final = 30.0
"""Seconds until the server must have read a piece, on a machine that has other things to do."""

_ID: Final = re.compile(rb"stored as [0-9a-f]{32}")

_T = TypeVar("_T")


class CutClient(RawClient):
    """A client that sends a piece only when the server has read the one before: each is a read of its own."""

    def send_apart(self, pieces: Iterable[bytes]) -> None:
        """Sends the pieces; an end of the connection is found when the replies are read."""
        server, own = self._socket.getpeername()[1], self._socket.getsockname()[1]
        try:
            for piece in pieces:
                self.send(piece)
                deadline = time.monotonic() + READ_TIMEOUT
                while unread(server, own):
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"the server has not read a piece within {READ_TIMEOUT:g} s")
                    time.sleep(0.0002)
        except ConnectionError:
            return


def converse(address: Address, pieces: Iterable[bytes]) -> bytes:
    """Everything that the server writes to a client that sends these pieces and waits for the end.

    Raises:
        TimeoutError: the server does not read, or does not close.
    """
    with CutClient(address) as client:
        client.send_apart(pieces)
        try:
            return client.rest()
        except ConnectionError:
            return b""


def told(replies: bytes, name: bytes) -> bytes:
    """Replies without what tells one connection from another: the ids of mails, and the client's name."""
    return _ID.sub(b"stored as ID", replies).replace(name, b"NAME")


def cut_at(data: bytes, place: int) -> list[bytes]:
    """Two pieces, neither of them empty."""
    return [data[:place], data[place:]]


def cut_in(data: bytes, size: int) -> list[bytes]:
    """Pieces of one size, the last one shorter."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def each(
    work: Callable[[int], _T], numbers: Sequence[int], threads: int, what: str, surroundings: Surroundings
) -> Iterator[_T]:
    """What `work` returns for each number, several at the same time, in order; tells how far it is."""

    def one(number: int) -> _T:
        surroundings.check()
        return work(number)

    with ThreadPoolExecutor(threads) as pool:
        for done, result in enumerate(pool.map(one, numbers), 1):
            if done % 500 == 0:
                surroundings.say(f"{done:,} of {len(numbers):,} {what}")
            yield result
