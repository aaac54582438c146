"""AUTH as the model has it: what the handler `Recorder` and its authenticator make of what a client says."""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Final

from services.smtp import Limits
from tests.differential.recorder import ANSWERS, USER

MECHANISMS: Final = frozenset({"PLAIN", "LOGIN", "TWO-QUESTIONS"})
RESPONSE: Final = 12288
"""Bytes of a response with its line end."""


@dataclass
class AuthReference:
    """The authentication of one session.

    Attributes:
        limits: the service's.
        authenticated: whether the client is the user.
        waits: whether the next line is a response.
        judged: whether the last refusal was of what the client said, and not of how.
    """

    limits: Limits
    authenticated: bool = False
    waits: bool = False
    judged: bool = False
    _mechanism: str = ""
    _said: list[bytes] = field(default_factory=list)
    _failures: int = 0

    def begin(self, argument: str) -> str:
        """The class of the reply to AUTH, where it may come."""
        words = argument.split()
        if self.authenticated or len(words) not in {1, 2} or words[0].upper() not in MECHANISMS:
            return "5"
        self._mechanism, self._said = words[0].upper(), []
        if len(words) == 2:
            initial = b"" if words[1] == "=" else _decode(words[1].encode())
            if initial is None:
                return "5"
            if self._mechanism != "TWO-QUESTIONS":  # which has no use for it
                self._said.append(initial)
        return self._go_on()

    def respond(self, line: bytes) -> str:
        """The class of the reply to a response, given with its line end."""
        self.waits = False
        if not line.endswith(b"\r\n"):
            return "close"
        said = None if len(line) > RESPONSE or line == b"*\r\n" else _decode(line[:-2])
        if said is None:
            return "5"
        self._said.append(said)
        return self._go_on()

    def _go_on(self) -> str:
        needed = 1 if self._mechanism == "PLAIN" else 2
        if len(self._said) < needed:
            self.waits = True
            return "3"
        if self._is_right():
            self.authenticated = True
            return "2"
        self.judged = True
        self._failures += 1
        return "close" if self._failures >= self.limits.auth_failures else "5"

    def _is_right(self) -> bool:
        if self._mechanism == "PLAIN":
            login, password = USER
            return self._said[0] in {b"\0%s\0%s" % (login, password), b"%s\0%s\0%s" % (login, login, password)}
        return tuple(self._said) == (tuple(USER) if self._mechanism == "LOGIN" else ANSWERS)


def _decode(text: bytes) -> bytes | None:
    try:
        return b64decode(text, validate=True)
    except binascii.Error:
        return None
