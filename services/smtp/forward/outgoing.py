"""What a smarthost is told about a mail: its parameters, as far as it announces them; or why the mail cannot go.

Nothing here talks to anybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.smtp.forward.progress import Result, result
from services.smtp.mailstore import MailInfo

HOPS: Final = 100
"""`Received:` lines from which on a mail is taken to go in circles (RFC 5321 6.3): a smarthost may hand mail back to
the one that it came from."""

RECIPIENTS: Final = 100
"""Recipients that every server takes in one mail (RFC 5321 4.5.3.1.8); one that takes more says so (RFC 9422)."""

_HOP: Final = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)
_RCPTMAX: Final = re.compile(r"\bRCPTMAX=([1-9]\d{0,5})\b", re.IGNORECASE)

Extensions = Mapping[str, str]
"""What a server announced: parameters by keyword in small letters."""


@dataclass(frozen=True, slots=True)
class Text:
    """What a text asks of the server that it is sent to.

    Attributes:
        size: its bytes.
        eight_bit: whether it has bytes beyond ASCII.
        utf8_header: whether they are in its header too.
        hops: the servers that it says it went through.
    """

    size: int
    eight_bit: bool
    utf8_header: bool
    hops: int


def examine(text: bytes) -> Text:
    """What a text asks for."""
    header = header_of(text)
    return Text(len(text), not text.isascii(), not header.isascii(), len(_HOP.findall(header)))


def header_of(text: bytes) -> bytes:
    """What stands above the first empty line, without it; all when there is no such line."""
    if text.startswith(b"\r\n"):
        return b""
    end = text.find(b"\r\n\r\n")
    return text if end < 0 else text[: end + 2]


def refusal(info: MailInfo, text: Text, extensions: Extensions) -> Result | None:
    """Why a mail cannot be sent to a server for any recipient; None when it can."""
    if text.hops >= HOPS:
        return result("failed", text=f"5.4.6 the mail goes in circles: it has {text.hops} Received: lines")
    if text.eight_bit and "8bitmime" not in extensions:
        # RFC 6152 section 3 leaves the choice between this and a conversion, which would break signatures.
        return result("failed", text="5.6.3 the mail has 8-bit text, and the smarthost does not announce 8BITMIME")
    if _may_need_utf8(info) and "smtputf8" not in extensions and (text.utf8_header or not info.mail_from.isascii()):
        return result("failed", text="5.6.7 the mail needs SMTPUTF8, and the smarthost does not announce it")
    return None


def recipient_refusal(info: MailInfo, number: int, extensions: Extensions) -> Result | None:
    """Why a mail cannot be sent to a server for one recipient; None when it can."""
    if info.rcpt_tos[number].isascii() or "smtputf8" in extensions:
        return None
    return result("failed", text="5.6.7 the address needs SMTPUTF8, and the smarthost does not announce it")


def mail_parameters(info: MailInfo, text: Text, extensions: Extensions) -> list[str]:
    """The parameters of MAIL: as they came, where the server announces them, and those that describe the text."""
    given = dict(option.partition("=")[::2] for option in info.mail_options)
    parameters = []
    if "size" in extensions:
        parameters.append(f"SIZE={text.size}")
    if "8bitmime" in extensions and (text.eight_bit or "BODY" in given):
        parameters.append("BODY=8BITMIME" if text.eight_bit else f"BODY={given['BODY']}")
    if _in_utf8(info, extensions):
        parameters.append("SMTPUTF8")
    if "dsn" in extensions:
        parameters += [f"{name}={given[name]}" for name in ("RET", "ENVID") if name in given]
    return parameters


def rcpt_parameters(info: MailInfo, number: int, extensions: Extensions) -> list[str]:
    """The parameters of RCPT for a recipient, as `mail_parameters`."""
    if "dsn" not in extensions:
        return []
    options = rcpt_options(info, number)
    if not _in_utf8(info, extensions):
        options = {name: _as_ascii(value) for name, value in options.items()}
    return [f"{name}={options[name]}" for name in ("NOTIFY", "ORCPT") if name in options]


def rcpt_options(info: MailInfo, number: int) -> dict[str, str]:
    """The parameters that a recipient came with, by keyword."""
    options = info.rcpt_options[number] if number < len(info.rcpt_options) else ""
    return dict(option.partition("=")[::2] for option in options.split(" ") if option)


def recipients_at_once(extensions: Extensions) -> int:
    """How many recipients a server takes in one mail."""
    limit = _RCPTMAX.search(extensions.get("limits", ""))
    return int(limit[1]) if limit else RECIPIENTS


def _may_need_utf8(info: MailInfo) -> bool:
    return "SMTPUTF8" in info.mail_options


def _in_utf8(info: MailInfo, extensions: Extensions) -> bool:
    return _may_need_utf8(info) and "smtputf8" in extensions


def _as_ascii(value: str) -> str:
    r"""An original address in the form for servers without SMTPUTF8: `\x{...}` for other characters (RFC 6533 3)."""
    return "".join(char if char.isascii() else f"\\x{{{ord(char):X}}}" for char in value)
