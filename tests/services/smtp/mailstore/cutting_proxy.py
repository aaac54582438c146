"""A TCP proxy in front of a server that swallows one answer and ends the connection, as a broken network does."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Final, Self

_READ: Final = 1 << 20


class CuttingProxy:
    """Passes bytes on, until it is told that an answer is to be lost.

    Args:
        port: of the server, on 127.0.0.1.

    Attributes:
        port: of the proxy.
        lose_answer_to: the next request that contains these bytes reaches the server, and its answer nobody.
        answer_end: what the lost answer ends with; needed for a request of several commands, which are answered one by
            one, so that nothing is still on its way to the server when the client learns that it is cut off.
        lost: how many answers were lost.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lose_answer_to = b""
        self.answer_end = b""
        self.lost = 0
        self._losing = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """The client waits for each answer, so what the server says after a request is the answer to it."""
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            back = threading.Thread(target=self._pass_back, args=(server, client), daemon=True)
            back.start()
            tail = b""
            with contextlib.suppress(OSError):
                while request := client.recv(_READ):
                    tail = (tail + request)[-_READ - len(self.lose_answer_to) :]
                    if self.lose_answer_to and self.lose_answer_to in tail:
                        self.lose_answer_to = b""
                        self._losing.set()
                    server.sendall(request)
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            back.join()

    def _pass_back(self, server: socket.socket, client: socket.socket) -> None:
        lost = b""
        with contextlib.suppress(OSError):
            while answer := server.recv(_READ):
                if not self._losing.is_set():
                    client.sendall(answer)
                    continue
                lost += answer
                if lost.endswith(self.answer_end):
                    self._losing.clear()
                    self.lost += 1
                    break
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
