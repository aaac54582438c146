"""Many clients that hold connections without using them, and one of each kind's way of not letting go."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from queue import SimpleQueue
from typing import Final, Self

from tests.e2e.clients import TIMEOUT
from tests.e2e.targets import Address

PERIOD: Final = 1.0
"""Seconds between two things that a client sends."""

_TICK: Final = 0.01
"""Seconds between two looks. The clients take turns in them: many that send at once would be a burst, not a trickle."""


class Kind(StrEnum):
    """What a client does with its connection."""

    SILENT = "silent after the greeting"
    BYTES = "a byte a second, never a line"
    NOOP = "a NOOP a second"


_SENT: Final = {Kind.BYTES: b"N", Kind.NOOP: b"NOOP\r\n"}


@dataclass(slots=True)
class _Client:
    kind: Kind
    socket: socket.socket
    connected: float
    lasted: float | None = None


class Crowd:
    """Connections of all kinds, for the time of the block, which begins when all are greeted.

    Args:
        address: the SMTP service.
        kinds: of the clients.
    """

    def __init__(self, address: Address, kinds: Sequence[Kind]) -> None:
        self._address = address
        self._kinds = kinds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="crowd")
        self._clients: list[_Client] = []
        self._greeted: SimpleQueue[_Client] = SimpleQueue()
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            for kind in self._kinds:
                sock = socket.create_connection((self._address.host, self._address.port), TIMEOUT)
                client = _Client(kind, sock, time.monotonic())
                self._clients.append(client)
                greeting = sock.recv(1000)
                assert greeting.startswith(b"220 "), greeting
                sock.setblocking(False)
                self._greeted.put(client)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()
        for client in self._clients:
            client.socket.close()
        self._selector.close()

    @property
    def left(self) -> int:
        """How many connections are open."""
        return sum(client.lasted is None for client in self._clients)

    def lasted(self, kind: Kind) -> list[float | None]:
        """How many seconds each connection of a kind was open for; None for one that is."""
        return [client.lasted for client in self._clients if client.kind is kind]

    def _run(self) -> None:
        turns, turn, senders = round(PERIOD / _TICK), 0, list[_Client]()
        while not self._stop.wait(_TICK):
            while not self._greeted.empty():
                client = self._greeted.get()
                self._selector.register(client.socket, selectors.EVENT_READ, client)
                if client.kind in _SENT:
                    senders.append(client)
            for key, _ in self._selector.select(0):
                self._read(key.data)
            for client in senders[turn::turns]:
                if client.lasted is None:
                    self._send(client, _SENT[client.kind])
            turn = (turn + 1) % turns

    def _read(self, client: _Client) -> None:
        try:
            if client.socket.recv(1000):
                return
        except BlockingIOError:
            return
        except ConnectionError:
            pass
        self._gone(client)

    def _send(self, client: _Client, data: bytes) -> None:
        try:
            client.socket.sendall(data)
        except BlockingIOError:
            pass
        except ConnectionError:
            self._gone(client)

    def _gone(self, client: _Client) -> None:
        client.lasted = time.monotonic() - client.connected
        self._selector.unregister(client.socket)
        client.socket.close()
