"""The grammar of commands (RFC 5321 4.1, RFC 6531), put together of `addresses` and `parameters`.

One thing is taken more loosely than the RFC has it, because common clients need it and it cannot be misunderstood:
spaces after the colon of `MAIL FROM:` and `RCPT TO:`.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from services.smtp import replies
from services.smtp.addresses import parse_recipient, parse_sender, parse_verified
from services.smtp.errors import RemoteProtocolError
from services.smtp.parameters import as_options, parse_mail_parameters, parse_rcpt_parameters
from services.smtp.replies import Reply

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_HELLO_NAME = re.compile(r"[\x21-\x7e]+")
_CHUNK = re.compile(rb"BDAT +0*([0-9]{1,18})(?: +LAST)? *", re.IGNORECASE)

_MAY_BE_UTF8: Final = frozenset({b"MAIL ", b"RCPT ", b"VRFY "})
"""Commands with addresses; in no other one can anything but ASCII stand."""


class Command(NamedTuple):
    """A command line in its two parts.

    Attributes:
        verb: in upper case, letters only.
        argument: what follows, without the spaces around it.
    """

    verb: str
    argument: str


class MailCommand(NamedTuple):
    """The argument of MAIL.

    Attributes:
        address: the sender without angle brackets, "" for the null sender `<>`.
        options: the parameters, keywords in upper case, e.g. `SIZE=1000`.
        size: the declared size in bytes, None when not declared.
        smtputf8: whether addresses and header of this mail may be UTF-8 (RFC 6531).
    """

    address: str
    options: tuple[str, ...]
    size: int | None
    smtputf8: bool


class RcptCommand(NamedTuple):
    """The argument of RCPT.

    Attributes:
        address: the recipient without angle brackets.
        options: the parameters, keywords in upper case, e.g. `NOTIFY=NEVER`.
    """

    address: str
    options: tuple[str, ...]


class VerifyCommand(NamedTuple):
    """The argument of VRFY.

    Attributes:
        address: a user's name or an address, without angle brackets.
        smtputf8: whether it, and the reply, may be UTF-8 (RFC 6531 3.7.4.2).
    """

    address: str
    smtputf8: bool


def parse_command(line: bytes) -> Command:
    """A command line, without its CRLF, as verb and argument; `RemoteProtocolError` when it is neither."""
    if _CONTROL.search(line):
        raise RemoteProtocolError(replies.CONTROL_CHARACTER)
    if not line.isascii() and line[:5].upper() not in _MAY_BE_UTF8:
        raise RemoteProtocolError(replies.CONTROL_CHARACTER)
    try:
        verb, _, argument = line.decode().partition(" ")
    except UnicodeDecodeError:
        raise RemoteProtocolError(replies.NOT_UTF8) from None
    if not verb.isalpha():
        raise RemoteProtocolError(replies.UNKNOWN_COMMAND)
    return Command(verb.upper(), argument.strip(" \t"))


def parse_hello(argument: str) -> str:
    """The client's name: one word, whatever it is (RFC 5321 4.1.4: a name that looks wrong is no reason to refuse)."""
    if not _HELLO_NAME.fullmatch(argument):
        raise RemoteProtocolError(replies.HELLO_SYNTAX)
    return argument


def parse_mail(argument: str) -> MailCommand:
    """`FROM:<path> [parameters]`."""
    path = _after_keyword("FROM:", argument, replies.MAIL_SYNTAX)
    address, rest = parse_sender(path, replies.BAD_SENDER)
    parameters = parse_mail_parameters(rest, replies.BAD_SENDER)
    smtputf8 = "SMTPUTF8" in parameters
    if not (smtputf8 or address.isascii()):
        raise RemoteProtocolError(replies.NON_ASCII_SENDER)
    size = parameters.get("SIZE")
    return MailCommand(address, as_options(parameters), None if size is None else int(size), smtputf8)


def parse_rcpt(argument: str, *, smtputf8: bool) -> RcptCommand:
    """`TO:<path> [parameters]`.

    Args:
        argument: what follows the verb.
        smtputf8: whether MAIL said that UTF-8 may come.
    """
    path = _after_keyword("TO:", argument, replies.RCPT_SYNTAX)
    address, rest = parse_recipient(path, replies.BAD_RECIPIENT)
    parameters = parse_rcpt_parameters(rest, replies.BAD_RECIPIENT)
    if not (smtputf8 or argument.isascii()):
        raise RemoteProtocolError(replies.NON_ASCII_RECIPIENT)
    return RcptCommand(address, as_options(parameters))


def parse_verify(argument: str) -> VerifyCommand:
    """`name-or-address [SMTPUTF8]`."""
    address, rest = parse_verified(argument, replies.VRFY_SYNTAX)
    smtputf8 = rest[:1] == " " and rest.strip(" ").upper() == "SMTPUTF8"
    if rest and not smtputf8:
        raise RemoteProtocolError(replies.VRFY_SYNTAX)
    if not (smtputf8 or address.isascii()):
        raise RemoteProtocolError(replies.NON_ASCII_RECIPIENT)
    return VerifyCommand(address, smtputf8)


def parse_chunk(line: bytes) -> int | None:
    """Bytes that follow a line `BDAT size [LAST]` (RFC 3030 section 2), None if the line does not tell."""
    match = _CHUNK.fullmatch(line)
    return None if match is None else int(match[1])


def _after_keyword(keyword: str, argument: str, syntax: Reply) -> str:
    if argument[: len(keyword)].upper() != keyword:
        raise RemoteProtocolError(syntax)
    return argument[len(keyword) :].lstrip(" ")
