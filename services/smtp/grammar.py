"""The grammar of commands: verbs, paths and parameters (RFC 5321 4.1.2), nothing else.

Two things are taken more loosely than the RFC has them, because common clients need it and neither can be
misunderstood: spaces after the colon of `MAIL FROM:` and `RCPT TO:`, and underscores in domains (the names of
containers).
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from services.smtp import replies
from services.smtp.errors import RemoteProtocolError
from services.smtp.limits import DOMAIN, LOCAL_PART, PATH
from services.smtp.replies import Reply

_PRINTABLE = re.compile(rb"[\t\x20-\x7e]*")

# No part can match the same text in two ways, so the time is linear in the line's length.
_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+"
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*"
_QUOTED_STRING = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"'
_SUB_DOMAIN = r"[A-Za-z0-9_]+(?:-+[A-Za-z0-9_]+)*"
_DOMAIN = rf"{_SUB_DOMAIN}(?:\.{_SUB_DOMAIN})*"
_LITERAL = r"\[[0-9A-Za-z.:]+\]"
_SOURCE_ROUTE = rf"@{_DOMAIN}(?:,@{_DOMAIN})*:"

_PATH = re.compile(
    rf"<(?:{_SOURCE_ROUTE})?"
    rf"(?P<mailbox>(?P<local>{_DOT_STRING}|{_QUOTED_STRING})@(?P<domain>{_DOMAIN}|{_LITERAL}))>"
)
_POSTMASTER = re.compile(r"<(?P<mailbox>postmaster)>", re.IGNORECASE)
_HOST = re.compile(rf"{_DOMAIN}|{_LITERAL}")
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_VALUE = re.compile(r"[\x21-\x3c\x3e-\x7e]+")
_SIZE = re.compile(r"[0-9]{1,20}")
_HELLO_NAME = re.compile(r"[\x21-\x7e]+")


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
        options: the parameters in upper case, as sent, e.g. `SIZE=1000`.
        size: the declared size in bytes, None when not declared.
    """

    address: str
    options: tuple[str, ...]
    size: int | None


def parse_command(line: bytes) -> Command:
    """A command line, without its CRLF, as verb and argument; `RemoteProtocolError` when it is neither."""
    verb, _, argument = line.partition(b" ")
    verb = verb.upper()
    if not _PRINTABLE.fullmatch(line):
        if verb in {b"MAIL", b"RCPT"} and not line.isascii():
            raise RemoteProtocolError(replies.NON_ASCII_ADDRESS)
        raise RemoteProtocolError(replies.CONTROL_CHARACTER)
    if not verb.isalpha():
        raise RemoteProtocolError(replies.UNKNOWN_COMMAND)
    return Command(verb.decode("ascii"), argument.decode("ascii").strip())


def parse_hello(argument: str) -> str:
    """The client's name: one word, whatever it is (RFC 5321 4.1.4: a name that looks wrong is no reason to refuse)."""
    if not _HELLO_NAME.fullmatch(argument):
        raise RemoteProtocolError(replies.HELLO_SYNTAX)
    return argument


def parse_mail(argument: str) -> MailCommand:
    """`FROM:<path> [parameters]`."""
    rest = _after_keyword("FROM:", argument, replies.MAIL_SYNTAX)
    if rest.startswith("<>"):
        address, rest = "", rest[2:]
    else:
        address, rest = _parse_path(rest, _PATH, replies.BAD_SENDER)
    parameters = _parse_parameters(rest, replies.BAD_SENDER)
    size: int | None = None
    for keyword, value in parameters.items():
        match keyword, value:
            case "SIZE", str() if _SIZE.fullmatch(value):
                size = int(value)
            case "BODY", "7BIT" | "8BITMIME":
                pass
            case "SIZE" | "BODY", _:
                raise RemoteProtocolError(replies.BAD_PARAMETER)
            case _:
                raise RemoteProtocolError(replies.UNKNOWN_PARAMETER)
    options = tuple(keyword if value is None else f"{keyword}={value}" for keyword, value in parameters.items())
    return MailCommand(address, options, size)


def parse_rcpt(argument: str) -> str:
    """`TO:<path>`: the address without angle brackets; no parameter of RCPT is known."""
    rest = _after_keyword("TO:", argument, replies.RCPT_SYNTAX)
    pattern = _POSTMASTER if _POSTMASTER.match(rest) else _PATH
    address, rest = _parse_path(rest, pattern, replies.BAD_RECIPIENT)
    if _parse_parameters(rest, replies.BAD_RECIPIENT):
        raise RemoteProtocolError(replies.UNKNOWN_PARAMETER)
    return address


def is_host(text: str) -> bool:
    """Whether the text is a domain or an address literal such as `[127.0.0.1]`."""
    return _HOST.fullmatch(text) is not None and len(text) <= DOMAIN and _is_domain(text)


def _after_keyword(keyword: str, argument: str, syntax: Reply) -> str:
    if argument[: len(keyword)].upper() != keyword:
        raise RemoteProtocolError(syntax)
    return argument[len(keyword) :].lstrip(" ")


def _parse_path(text: str, pattern: re.Pattern[str], malformed: Reply) -> tuple[str, str]:
    """The mailbox of the path at the beginning of `text` (a source route is dropped), and what follows the path."""
    match = pattern.match(text)
    if match is None or len(match[0]) > PATH:
        raise RemoteProtocolError(malformed)
    parts = match.groupdict()
    if "domain" in parts and not (
        len(parts["local"]) <= LOCAL_PART and len(parts["domain"]) <= DOMAIN and _is_domain(parts["domain"])
    ):
        raise RemoteProtocolError(malformed)
    return parts["mailbox"], text[match.end() :]


def _is_domain(domain: str) -> bool:
    """Whether an address literal holds an address; every other domain has matched the grammar already."""
    if not domain.startswith("["):
        return True
    literal = domain[1:-1]
    try:
        if literal[:5].upper() == "IPV6:":
            ipaddress.IPv6Address(literal[5:])
        else:
            ipaddress.IPv4Address(literal)
    except ValueError:
        return False
    return True


def _parse_parameters(text: str, malformed_path: Reply) -> dict[str, str | None]:
    """Parameters by upper-case keyword, values in upper case; every value that is known is case-insensitive."""
    if text and not text.startswith(" "):
        raise RemoteProtocolError(malformed_path)
    parameters: dict[str, str | None] = {}
    for parameter in text.split():
        keyword, equals, value = parameter.partition("=")
        keyword = keyword.upper()
        if not _KEYWORD.fullmatch(keyword) or keyword in parameters or (equals and not _VALUE.fullmatch(value)):
            raise RemoteProtocolError(replies.BAD_PARAMETER)
        parameters[keyword] = value.upper() if equals else None
    return parameters
