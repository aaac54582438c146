"""An application that takes webhook calls: a real HTTP server, which answers as a test tells it to."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

KEY: Final = bytes(range(32))
SECRET: Final = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@dataclass(frozen=True)
class Call:
    """A call as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> dict[str, Any]:
        """What it says of a mail."""
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data


@dataclass
class Answer:
    """What a call is answered; a status of 0 ends the connection."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"thanks"


@dataclass
class Receiver:
    """What came, and the next answers; 204 when there is none left."""

    answers: list[Answer] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/token?a=b"


@contextlib.contextmanager
def running_receiver(hold: Callable[[], object] = lambda: None) -> Iterator[Receiver]:
    """A receiver on 127.0.0.1 for the time of the block, which calls `hold` before each answer."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            receiver.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if len(body) < int(self.headers["content-length"]):  # its client was killed
                self.close_connection = True
                return
            hold()
            receiver.calls.append(Call(self.path, dict(self.headers.items()), body))
            answer = receiver.answers.pop(0) if receiver.answers else Answer(204, body=b"")
            if not answer.status:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Nothing: pytest shows what fails."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that was killed is none of ours."""
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
