"""Addresses: paths, mailboxes, domains and address literals (RFC 5321 4.1.2 and 4.1.3, RFC 6531 section 3.3).

Characters beyond ASCII are part of the grammar everywhere here; whether a mail may have them is for `grammar` to say.
They are kept as they came, in whatever normalization: two spellings of one name are two names (RFC 6531 section 3.2).

One thing is taken more loosely than the RFC has it, because common clients need it and it cannot be misunderstood:
underscores in domains (the names of containers).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

import idna

from services.smtp.errors import RemoteProtocolError
from services.smtp.limits import DOMAIN, LOCAL_PART, PATH
from services.smtp.replies import Reply

BEYOND_ASCII: Final = r"\xa0-\u2027\u202a-\U0010ffff"
"""A range for regular expressions: what UTF-8 adds to ASCII, without control characters and what others take for line
ends (U+0080 to U+009F, U+2028, U+2029)."""

ATOM: Final = rf"[A-Za-z0-9!#$%&'*+\-/=?^_`{{|}}~{BEYOND_ASCII}]+"

# No part can match the same text in two ways, so the time is linear in the line's length.
_DOT_STRING = rf"{ATOM}(?:\.{ATOM})*"
_QUOTED_STRING = rf'"(?:[\x20\x21\x23-\x5b\x5d-\x7e{BEYOND_ASCII}]|\\[\x20-\x7e])*"'
_LOCAL = rf"(?P<local>{_DOT_STRING}|{_QUOTED_STRING})"
_SUB_DOMAIN = rf"[A-Za-z0-9_{BEYOND_ASCII}]+(?:-+[A-Za-z0-9_{BEYOND_ASCII}]+)*"
_DOMAIN = rf"{_SUB_DOMAIN}(?:\.{_SUB_DOMAIN})*"
_LITERAL = r"\[[0-9A-Za-z.:]+\]"
_SOURCE_ROUTE = rf"(?P<route>@{_DOMAIN}(?:,@{_DOMAIN})*:)"
_MAILBOX = rf"(?P<mailbox>{_LOCAL}@(?P<domain>{_DOMAIN}|{_LITERAL}))"

_PATH = re.compile(rf"<(?:{_SOURCE_ROUTE})?{_MAILBOX}>")
_BARE_MAILBOX = re.compile(_MAILBOX)
_USER = re.compile(rf"(?P<mailbox>{_LOCAL})")
_POSTMASTER = re.compile(r"<(?P<mailbox>postmaster)>", re.IGNORECASE)
_HOST = re.compile(rf"{_DOMAIN}|{_LITERAL}")


class Found(NamedTuple):
    """What an address at the beginning of a text is, and where it ends.

    Attributes:
        address: without angle brackets and source route, "" for the null sender.
        rest: what follows it.
    """

    address: str
    rest: str


def parse_sender(text: str, malformed: Reply) -> Found:
    """A reverse path: `<address>` or the null sender `<>`; `RemoteProtocolError` with `malformed` if it is neither."""
    if text.startswith("<>"):
        return Found("", text[2:])
    return _parse(_PATH, text, malformed)


def parse_recipient(text: str, malformed: Reply) -> Found:
    """A forward path: `<address>`, or `<postmaster>` in any case (RFC 5321 4.5.1); raises as `parse_sender`."""
    return _parse(_POSTMASTER if _POSTMASTER.match(text) else _PATH, text, malformed)


def parse_verified(text: str, malformed: Reply) -> Found:
    """What VRFY asks about: a user's name or an address, with or without angle brackets; raises as `parse_sender`."""
    if text.startswith("<"):
        return parse_recipient(text, malformed)
    return _parse(_BARE_MAILBOX if _BARE_MAILBOX.match(text) else _USER, text, malformed)


def is_host(text: str) -> bool:
    """Whether the text is a domain in ASCII or an address literal such as `[127.0.0.1]`."""
    return (
        text.isascii()
        and len(text) <= DOMAIN
        and _HOST.fullmatch(text) is not None
        and (not text.startswith("[") or _is_literal(text))
    )


def _parse(pattern: re.Pattern[str], text: str, malformed: Reply) -> Found:
    match = pattern.match(text)
    if match is None or _octets(match[0]) > PATH:
        raise RemoteProtocolError(malformed)
    parts = match.groupdict()
    if _octets(parts.get("local") or "") > LOCAL_PART:
        raise RemoteProtocolError(malformed)
    for domain in _domains(parts):
        if not _is_domain(domain):
            raise RemoteProtocolError(malformed)
    return Found(parts["mailbox"], text[match.end() :])


def _octets(text: str) -> int:
    """Limits are of bytes, of which a character has up to four (RFC 5321 4.5.3.1)."""
    return len(text) if text.isascii() else len(text.encode())


def _domains(parts: dict[str, str | None]) -> list[str]:
    """All domains of a path: that of the address, and those of a source route, which is dropped but has its grammar."""
    route, domain = parts.get("route"), parts.get("domain")
    return [*(hop.removeprefix("@") for hop in route[:-1].split(",")), domain or ""] if route else [domain or ""]


def _is_domain(domain: str) -> bool:
    """Whether what matched the grammar is a domain indeed."""
    if domain.startswith("["):
        return _is_literal(domain)
    if domain.isascii():
        return len(domain) <= DOMAIN
    return _octets(domain) <= DOMAIN and all(label.isascii() or _is_u_label(label) for label in domain.split("."))


def _is_u_label(label: str) -> bool:
    """Whether a label that is not ASCII can stand in a domain name (RFC 5890 2.3.2.1, IDNA2008)."""
    try:
        idna.alabel(label)
    except idna.IDNAError:
        return False
    return True


def _is_literal(literal: str) -> bool:
    """Whether an address literal holds an address.

    A general literal, `[tag:...]`, needs a tag that a standards-track RFC registered (RFC 5321 4.1.3), and IPv6 is the
    only one that ever was.
    """
    address = literal[1:-1]
    try:
        if address[:5].upper() == "IPV6:":
            ipaddress.IPv6Address(address[5:])
        else:
            ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return True
