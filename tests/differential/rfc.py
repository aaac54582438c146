"""A second reading of the RFCs' grammar, by hand and naive: what addresses and parameters are, without a look at ours.

Where the service takes more than RFC 5321 on purpose, its documentation says so; here that is `LOOSE`, and spaces after
the colon.
"""

from __future__ import annotations

import ipaddress
import re
import string
from typing import Final, NamedTuple

import idna

ATEXT: Final = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~")
LET_DIG: Final = frozenset(string.ascii_letters + string.digits)
LOOSE: Final = frozenset("_")
"""What the service takes in domains, as containers have such names."""


class Arguments(NamedTuple):
    """The argument of MAIL or RCPT.

    Attributes:
        address: without brackets and source route, "" for the null path.
        parameters: by keyword in upper case, None for those without a value.
        ascii_only: whether all of it is ASCII.
    """

    address: str
    parameters: dict[str, str | None]
    ascii_only: bool

    @property
    def options(self) -> tuple[str, ...]:
        """The parameters as they are kept: values have no case, but for those that are somebody's text."""
        return tuple(
            key if value is None else f"{key}={value if key in {'AUTH', 'ENVID', 'ORCPT'} else value.upper()}"
            for key, value in self.parameters.items()
        )


def read_arguments(argument: str, keyword: str) -> Arguments | None:
    """The argument, None when it is malformed.

    Args:
        argument: what follows MAIL or RCPT.
        keyword: `FROM:` or `TO:`.
    """
    if argument[: len(keyword)].upper() != keyword:
        return None
    rest = argument[len(keyword) :].lstrip(" ")
    sender = keyword == "FROM:"
    null = sender and rest.startswith("<>")
    end = 2 if null else _end_of_path(rest)
    address = "" if null else read_path(rest[:end])
    if address is None or (address.lower() == "postmaster" and sender):
        return None
    if rest[end:] and rest[end] != " ":
        return None
    parameters = read_parameters(rest[end:].split(" "), OF_MAIL if sender else OF_RCPT)
    return None if parameters is None else Arguments(address, parameters, argument.isascii())


def _end_of_path(text: str) -> int:
    """Where the path at the beginning of `text` ends, 0 when it does not."""
    quoted = escaped = False
    for index, character in enumerate(text):
        if index == 0 and character != "<":
            return 0
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == ">" and not quoted:
            return index + 1
    return 0


def read_path(path: str) -> str | None:
    """The mailbox of a path with its brackets (RFC 5321 4.1.2), None when it is none."""
    inner = path[1:-1]
    if len(path.encode()) > 256 or not inner:
        return None
    if inner.lower() == "postmaster":
        return inner
    if inner.startswith("@"):
        route, colon, inner = inner.partition(":")
        if not colon or not all(hop.startswith("@") and is_domain(hop[1:]) for hop in route.split(",")):
            return None
    return inner if is_mailbox(inner) else None


def is_mailbox(text: str) -> bool:
    """Whether it is `local-part@domain`."""
    local, at, domain = text.rpartition("@")
    return bool(at) and is_local_part(local) and (_is_literal(domain) if domain.startswith("[") else is_domain(domain))


def is_local_part(text: str) -> bool:
    """Whether it is a dot-string or a quoted string."""
    if len(text.encode()) > 64:
        return False
    if not text.startswith('"'):
        return all(atom and all(letter in ATEXT or _beyond(letter) for letter in atom) for atom in text.split("."))
    if len(text) < 2 or not text.endswith('"'):
        return False
    characters = iter(text[1:-1])
    for character in characters:
        if character == "\\":
            if not " " <= next(characters, "") <= "~":
                return False
        elif character == '"' or not (" " <= character <= "~" or _beyond(character)):
            return False
    return True


def _beyond(character: str) -> bool:
    """Whether RFC 6531 adds the character: no control character, no line or paragraph separator."""
    return character >= "\xa0" and character not in "\u2028\u2029"


def is_domain(text: str) -> bool:
    """Whether it is a domain; labels beyond ASCII must be such of IDNA2008."""
    if len(text.encode()) > 255:
        return False
    for label in text.split("."):
        if not label or label[0] == "-" or label[-1] == "-":
            return False
        if label.isascii():
            if not all(letter in LET_DIG or letter in LOOSE or letter == "-" for letter in label):
                return False
            continue
        try:
            idna.alabel(label)
        except idna.IDNAError:
            return False
    return True


def _is_literal(text: str) -> bool:
    inner = text[1:-1]
    if not text.endswith("]") or not inner.isascii() or "%" in inner:
        return False
    try:
        if inner[:5].upper() == "IPV6:":
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError:
        return False
    return True


_XTEXT: Final = r"([!-*,-<>-~]|\+(09|[2-6][0-9A-F]|7[0-9A-E]))+"

OF_MAIL: Final[dict[str, str | None]] = {
    "SIZE": r"[0-9]{1,20}",
    "BODY": r"(?i:7BIT|8BITMIME)",
    "SMTPUTF8": None,
    "RET": r"(?i:FULL|HDRS)",
    "AUTH": rf"<>|{_XTEXT}",
    "ENVID": rf"(?=.{{1,94}}$){_XTEXT}",
}
"""Parameters, and what their values are: None for those without one."""

OF_RCPT: Final[dict[str, str | None]] = {
    "NOTIFY": r"(?i:NEVER|(SUCCESS|FAILURE|DELAY)(,(SUCCESS|FAILURE|DELAY))*)",
    "ORCPT": rf"(?=.{{1,494}}$)[A-Za-z0-9-]+;{_XTEXT}",
}


def read_parameters(words: list[str], known: dict[str, str | None]) -> dict[str, str | None] | None:
    """Parameters by keyword, None when one is unknown, malformed, or there twice."""
    parameters: dict[str, str | None] = {}
    for word in filter(None, words):
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        if keyword not in known or keyword in parameters:
            return None
        pattern = known[keyword]
        if bool(equals) != (pattern is not None) or (pattern is not None and not re.fullmatch(pattern, value)):
            return None
        parameters[keyword] = value if equals else None
    return parameters
