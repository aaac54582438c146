r"""AUTH as the client sees it (RFC 4954), and the mechanisms PLAIN (RFC 4616) and LOGIN; nothing that knows a user.

An exchange is what server and client have said since AUTH: plain data that rests in the session's state, as each
response may come to another process. A mechanism is a function of it:

    step = advance(exchange)      # Challenge: send it, call again with the response; Credentials: verify them

The rules:

* One line of the client is one response. `*` cancels the exchange; what is no base64, or is too long, ends it too.
* Whatever ends the exchange, nothing of it is left in the state. A password is never in the state at all: it is in the
  last response, which ends the exchange in the same event. (The piece of a line that has not ended yet is, in
  `SmtpState.partial`: it is needed, and goes with the line's end.)
* LOGIN has no specification; it is what clients of Microsoft made of it: a user name, a password. Clients may send the
  name with the command, which RFC 4954 would have refused for a mechanism in which the server begins.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from services.smtp import replies
from services.smtp.errors import LocalProtocolError, RemoteProtocolError

PLAIN: Final = "PLAIN"
LOGIN: Final = "LOGIN"

BUILT_IN: Final = (LOGIN, PLAIN)
"""The mechanisms of which `advance` knows what they say."""

MAX_CHALLENGES: Final = 16
"""Challenges of one exchange. No registered SASL mechanism comes near; the responses rest in the session's state."""

_CANCEL: Final = b"*"
_EMPTY: Final = "="  # an initial response that is there and has no bytes (RFC 4954 section 4)


class Exchange(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """An authentication under way.

    Attributes:
        mechanism: its name in upper case.
        initial: the initial response as the client sent it, in base64 or `=`; None without one.
        challenges: the texts of the challenges so far, as they went behind `334 `.
        responses: the responses to them, decoded.
        remembered: what a handler's method keeps from one of its runs to the next, see `auth_hooks`.
    """

    mechanism: str
    initial: str | None = None
    challenges: list[str] = msgspec.field(default_factory=list)
    responses: list[bytes] = msgspec.field(default_factory=list)
    remembered: list[bytes] = msgspec.field(default_factory=list)

    def __repr__(self) -> str:
        """Nothing that the client said but the mechanism: it may stand in a log."""
        return f"Exchange({self.mechanism!r}, responses={len(self.responses)})"

    @property
    def arguments(self) -> list[str]:
        """The words after AUTH."""
        return [self.mechanism] if self.initial is None else [self.mechanism, self.initial]

    @property
    def said(self) -> list[bytes]:
        """All that the client said, the initial response first."""
        first = [] if self.initial is None else [decode_initial(self.initial)]
        return [*first, *self.responses]


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the client is to respond to.

    Attributes:
        text: what goes behind `334 `.
    """

    text: str

    @classmethod
    def of(cls, data: bytes) -> Challenge:
        """A challenge of these bytes, in base64."""
        return cls(b64encode(data).decode("ascii"))


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """A name and the password that is to prove it, as the client sent them."""

    login: bytes
    password: bytes


Step: TypeAlias = Challenge | Credentials


@dataclass(frozen=True, slots=True)
class AuthPolicy:
    """What holds for AUTH on one listener.

    Attributes:
        mechanisms: their names in upper case, as announced; none where AUTH is not to be had.
        elsewhere: it is to be had on another listener, which is behind TLS.
        required: nobody sends mail without it.
    """

    mechanisms: tuple[str, ...] = ()
    elsewhere: bool = False
    required: bool = False

    @property
    def known(self) -> bool:
        """Whether the service has AUTH at all."""
        return self.elsewhere or bool(self.mechanisms)

    @property
    def extension(self) -> str:
        """The line of EHLO, "" where there is none."""
        return " ".join(("AUTH", *self.mechanisms)) if self.mechanisms else ""


NO_AUTH: Final = AuthPolicy()
"""A listener without AUTH, of a service without."""


def parse_auth(argument: str, mechanisms: Iterable[str]) -> Exchange:
    """`mechanism [initial-response]`: a new exchange; `RemoteProtocolError` when it is refused."""
    words = argument.split()
    if not 1 <= len(words) <= 2:
        raise RemoteProtocolError(replies.AUTH_SYNTAX)
    mechanism, *rest = words
    if mechanism.upper() not in mechanisms:
        raise RemoteProtocolError(replies.UNKNOWN_MECHANISM)
    initial = rest[0] if rest else None
    if initial is not None:
        decode_initial(initial)
    return Exchange(mechanism.upper(), initial)


def decode_initial(text: str) -> bytes:
    """The initial response; `RemoteProtocolError` when it is no base64."""
    return b"" if text == _EMPTY else _decode(text.encode())


def decode_response(line: bytes) -> bytes:
    """A response to a challenge, from its line without CRLF; `RemoteProtocolError` when it cancels or is no base64."""
    if line == _CANCEL:
        raise RemoteProtocolError(replies.AUTH_CANCELLED)
    return _decode(line)


def advance(exchange: Exchange) -> Step:
    """What comes next in an exchange of a built-in mechanism.

    Raises:
        RemoteProtocolError: the client's message is none of this mechanism, or asks for what nobody may have.
    """
    match exchange.mechanism, exchange.said:
        case "PLAIN", []:
            return Challenge.of(b"")
        case "PLAIN", [message]:
            return _plain(message)
        case "LOGIN", []:
            return Challenge.of(b"Username:")
        case "LOGIN", [_]:
            return Challenge.of(b"Password:")
        case "LOGIN", [login, password]:
            return Credentials(login, password)
        case _:
            raise LocalProtocolError(f"the exchange {exchange!r} is over, or of no built-in mechanism")


def _plain(message: bytes) -> Credentials:
    """`[authzid] NUL authcid NUL passwd` in UTF-8 (RFC 4616 section 2). Nobody may act for somebody else."""
    try:
        message.decode("utf-8")
        authzid, authcid, password = message.split(b"\0")
    except ValueError as error:  # wrong UTF-8, or another number of NULs
        raise RemoteProtocolError(replies.MALFORMED_PLAIN) from error
    if authzid not in {b"", authcid}:
        raise RemoteProtocolError(replies.WRONG_CREDENTIALS)
    return Credentials(authcid, password)


def _decode(text: bytes) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error as error:
        raise RemoteProtocolError(replies.BAD_BASE64) from error
