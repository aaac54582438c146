"""Parameters of MAIL and RCPT: which there are, and what each may say (RFC 5321 4.1.2 and the RFCs named below).

Keywords have no case and come out in capitals. So do values, but for those that are somebody's text: ENVID and ORCPT
are returned in notifications as they were sent, and AUTH is an address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from services.smtp import replies
from services.smtp.addresses import ATOM, BEYOND_ASCII, parse_sender
from services.smtp.errors import RemoteProtocolError
from services.smtp.limits import AUTH_PARAMETER, ENVID, ORCPT
from services.smtp.replies import Reply

Value: TypeAlias = str | None
"""What stands behind the `=`, None without one."""

Parameters: TypeAlias = dict[str, Value]
"""Values by keyword in capitals, in the order in which they came."""

_Check: TypeAlias = Callable[[Value], Value]
"""Returns the value as it is to be kept, or raises ValueError."""

_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_SIZE = re.compile(r"[0-9]{1,20}")

# xtext: what is no printable character, `+` and `=` stand as `+` and two hexadecimal digits, in capitals. What comes
# out of it must be printable, or white space (RFC 3461 sections 4, 4.2, 4.4).
_XTEXT = re.compile(r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+(?:09|[2-6][0-9A-F]|7[0-9A-E]))+")

_ENCODED = re.compile(r"\+([0-9A-F]{2})")

# RFC 6533 section 3: an address of the type utf-8 has `\x{...}` instead, or the characters themselves.
_CODE_POINT = (
    r"(?:[01][1-9]|10|20|2B|3D|7F|5C|[89A-F][0-9A-F]|[1-9A-F][0-9A-F]{2}|[1-9A-CEF][0-9A-F]{3}|D[0-7][0-9A-F]{2}"
    r"|[1-9A-F][0-9A-F]{4}|10[0-9A-F]{4})"
)
_UNITEXT = re.compile(rf"(?:[\x21-\x2a\x2c-\x3c\x3e-\x5b\x5d-\x7e{BEYOND_ASCII}]|\\x\{{{_CODE_POINT}\}})+")
_ADDRESS_TYPE = re.compile(ATOM)


def parse_mail_parameters(text: str, malformed: Reply) -> Parameters:
    """The parameters of MAIL.

    Args:
        text: what follows the path.
        malformed: the reply when nothing parts the path from its parameters.

    Raises:
        RemoteProtocolError: one is unknown (555), repeated or malformed (501).
    """
    return _parse(text, malformed, _OF_MAIL)


def parse_rcpt_parameters(text: str, malformed: Reply) -> Parameters:
    """The parameters of RCPT; as `parse_mail_parameters`."""
    return _parse(text, malformed, _OF_RCPT)


def as_options(parameters: Parameters) -> tuple[str, ...]:
    """Parameters as they stand in a command, e.g. `SIZE=1000`."""
    return tuple(keyword if value is None else f"{keyword}={value}" for keyword, value in parameters.items())


def _parse(text: str, malformed: Reply, known: Mapping[str, _Check]) -> Parameters:
    parameters: Parameters = {}
    if not text:  # as in most commands
        return parameters
    if not text.startswith(" "):
        raise RemoteProtocolError(malformed)
    for parameter in text.split(" "):  # not split(), for which some characters beyond ASCII are spaces
        if not parameter:
            continue
        keyword, equals, value = parameter.partition("=")
        keyword = keyword.upper()
        if not _KEYWORD.fullmatch(keyword) or keyword in parameters:
            raise RemoteProtocolError(replies.BAD_PARAMETER)
        if keyword not in known:
            raise RemoteProtocolError(replies.UNKNOWN_PARAMETER)
        try:
            parameters[keyword] = known[keyword](value if equals else None)
        except ValueError:
            raise RemoteProtocolError(replies.PARAMETER_SYNTAX[keyword]) from None
    return parameters


def _size(value: Value) -> Value:
    if value is None or not _SIZE.fullmatch(value):
        raise ValueError
    return value


def _one_of(*allowed: str) -> _Check:
    def check(value: Value) -> Value:
        if value is None or value.upper() not in allowed:
            raise ValueError
        return value.upper()

    return check


def _nothing(value: Value) -> Value:
    if value is not None:
        raise ValueError
    return None


def _envid(value: Value) -> Value:
    if value is None or not _XTEXT.fullmatch(value) or len("ENVID=") + len(value) > ENVID:
        raise ValueError
    return value


def _submitter(value: Value) -> Value:
    if value is None or not _XTEXT.fullmatch(value) or len(" AUTH=") + len(value) > AUTH_PARAMETER:
        raise ValueError
    mailbox = _ENCODED.sub(lambda match: chr(int(match[1], 16)), value)
    try:
        found = parse_sender(value if value == "<>" else f"<{mailbox}>", replies.BAD_PARAMETER)
    except RemoteProtocolError as error:
        raise ValueError from error
    if found != (mailbox.removeprefix("<>"), ""):  # there was more, or a source route
        raise ValueError
    return value


def _notify(value: Value) -> Value:
    conditions = (value or "").upper()
    if conditions != "NEVER" and not set(conditions.split(",")) <= {"SUCCESS", "FAILURE", "DELAY"}:
        raise ValueError
    return conditions


def _orcpt(value: Value) -> Value:
    address_type, _, address = (value or "").partition(";")
    encoding = _UNITEXT if address_type.upper() == "UTF-8" else _XTEXT
    sound = address_type.isascii() and _ADDRESS_TYPE.fullmatch(address_type) and encoding.fullmatch(address)
    if value is None or not sound or len("ORCPT=") + len(value.encode()) > ORCPT:
        raise ValueError
    return value


_OF_MAIL: Final[Mapping[str, _Check]] = {
    "SIZE": _size,  # RFC 1870
    "BODY": _one_of("7BIT", "8BITMIME"),  # RFC 6152
    "SMTPUTF8": _nothing,  # RFC 6531
    "RET": _one_of("FULL", "HDRS"),  # RFC 3461
    "ENVID": _envid,  # RFC 3461
    "AUTH": _submitter,  # RFC 4954
}

_OF_RCPT: Final[Mapping[str, _Check]] = {
    "NOTIFY": _notify,  # RFC 3461
    "ORCPT": _orcpt,  # RFC 3461, RFC 6533
}
