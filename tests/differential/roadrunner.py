"""The same streams against the real server with two worker processes: what the service in this process answered."""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from rr_tcp import App
from rr_tcp.stores import open_store
from rr_tcp.testing import find_server, serve_app
from services.smtp import SmtpProtocol, open_mail_store
from tests.differential.compare import Transcript
from tests.differential.dialogues import Grammar
from tests.differential.service import SETTINGS
from tests.differential.wire import ReceivedMail

TIMEOUT: Final = 30.0
"""Seconds for any one answer, on a slow machine under load."""

_STORED: Final = re.compile(rb"stored as [0-9a-f]{32}")
"""Ids of mails are never the same."""


def build_app() -> App:
    """The service as the dialogues want it; what workers run."""
    store = open_store(os.environ["SESSION_STORE"], rpc_address=os.environ["RR_RPC"])
    mails = open_mail_store(os.environ["MAIL_STORE"])
    app = App(store=store)
    app.add("smtp", SmtpProtocol(SETTINGS, store=mails))
    app.on_shutdown(mails.close)
    return app


class RealServer:
    """RoadRunner with the service in two workers.

    Args:
        directory: for its files.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._url = f"sqlite:///{directory}/mail.db"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            served = stack.enter_context(
                serve_app(
                    f"{__name__}:build_app",
                    "smtp",
                    binary=find_server(),
                    directory=self._directory,
                    env={"SESSION_STORE": "rrkv://sessions", "MAIL_STORE": self._url},
                )
            )
            self._port = served.ports["smtp"]
            self._mails = open_mail_store(self._url)
            stack.callback(self._mails.close)
            self._seen: set[str] = set()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def converse(self, pieces: Iterable[bytes]) -> bytes:
        """Sends the pieces; everything that the server wrote until it closed the connection."""
        with socket.create_connection(("127.0.0.1", self._port), TIMEOUT) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                client.sendall(piece)
            received = b""
            while data := client.recv(65536):
                received += data
        return received

    def new_mails(self) -> list[ReceivedMail]:
        """What was stored since the last call."""
        new = []
        for info in self._mails.mails():
            if info.id not in self._seen:
                self._seen.add(info.id)
                new.append(ReceivedMail.of(info, b"".join(self._mails.read(info.id))))
        return new


def compare_streams(server: RealServer, streams: Iterable[tuple[str, Transcript]]) -> list[str]:
    """What the real server answers or stores otherwise. The streams are such that the service ends the connection."""
    wrong = []
    for name, transcript in streams:
        pieces = Grammar(random.Random(name)).pieces(transcript.stream)  # noqa: S311 - the same ones each time
        output = server.converse(pieces)
        mails = server.new_mails()
        if _STORED.sub(b"", output) != _STORED.sub(b"", transcript.output) or mails != transcript.mails:
            wrong.append(
                f"dialogue {name} in the pieces {pieces}\non RoadRunner {output!r}\n{mails}\nin this process "
                f"{transcript.output!r}\n{transcript.mails}"
            )
    return wrong
