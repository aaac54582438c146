"""A server that answers what a test says, to see whether the clients notice."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from typing import TypeAlias

from tests.e2e.targets import Address

Script: TypeAlias = dict[str, bytes]
"""The first word of the answer to each verb, to the text of a mail (`text`) and to nothing (the greeting). An empty one
ends the connection without an answer, 421 with one; what follows a space after the code is an answer too many."""


@contextlib.contextmanager
def scripted_server(script: Script) -> Iterator[Address]:
    """The server, for the time of the block; QUIT is answered 221."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if not self._answer(""):
                return
            while line := self.rfile.readline():
                verb = line.split()[0].decode().upper()
                if not self._answer(verb):
                    return
                if verb == "DATA":
                    while self.rfile.readline() != b".\r\n":
                        pass
                    if not self._answer("text"):
                        return

        def _answer(self, verb: str) -> bool:
            """Whether the connection goes on."""
            answer = b"221" if verb == "QUIT" else script[verb]
            code, _, more = answer.partition(b" ")
            if code:
                self.wfile.write(code + b" as the script says\r\n" + (more + b"\r\n" if more else b""))
            return code not in {b"", b"221", b"421"}

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Address("127.0.0.1", server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
