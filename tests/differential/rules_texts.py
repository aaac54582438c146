"""Deliberate differences in the texts of mails."""

from __future__ import annotations

from typing import Final

from tests.differential.compare import Exchange
from tests.differential.rule import EHLO, MAIL, RCPT, Rule
from tests.differential.service import LIMITS

_BEGUN: Final = (EHLO, MAIL, RCPT, b"DATA\r\n")


def _line_lengths(exchange: Exchange) -> list[int]:
    return [len(line) for line in exchange.line.split(b"\r\n")]


def _encoded_size(exchange: Exchange) -> int:
    """Bytes of the text with the dots of transparency, as aiosmtpd counts them."""
    return len(exchange.line) - len(b".\r\n")


IN_TEXTS: Final = (
    Rule(
        "bare CR and LF in a text",
        ours=r"554 5\.6\.0 Message refused: it has a CR or LF",
        theirs=r"250 |500 Line too long|552 |554 not that",
        line=rb".*((?<!\r)\n|\r(?!\n)).*",
        in_text=True,
        reason="Other programs take them for line ends, and one mail for two (SMTP smuggling)",
        example=(*_BEGUN, b"a\n", b".\r\n", b".\r\n"),
    ),
    Rule(
        "NUL in a text",
        ours=r"554 5\.6\.0 Message refused: it has a NUL",
        theirs=r"250 |500 Line too long|552 |554 not that",
        line=rb".*\0.*",
        in_text=True,
        reason="RFC 5321 4.5.2 has texts without it, and programs that take it for an end disagree with others",
        example=(*_BEGUN, b"a\0b\r\n", b".\r\n"),
    ),
    Rule(
        "text line length",
        ours=r"500 5\.6\.0 Message refused: it has a line over 998",
        theirs=r"250 |552 |554 not that",
        line=rb".*[^\n]{999,}.*",
        in_text=True,
        reason="998 bytes and CR LF (RFC 5321 4.5.3.1.6); the dot of transparency is no part of the line. "
        "aiosmtpd takes lines of 999 without one",
        example=(*_BEGUN, b"x" * 999 + b"\r\n", b".\r\n"),
    ),
    Rule(
        "size before line length",
        ours=r"552 5\.3\.4",
        theirs=r"500 Line too long|554 not that",
        in_text=True,
        also=lambda exchange: max(_line_lengths(exchange)) > 998,
        reason="Of a text with several faults the service names the worst, aiosmtpd the first",
        example=(*_BEGUN, *[b"x" * 1500 + b"\r\n"] * 3, b".\r\n"),
    ),
    Rule(
        "size without dots",
        ours=r"250 |554 5\.0\.0 not that|500 5\.6\.0",
        theirs=r"552 Error: Too much mail data",
        in_text=True,
        also=lambda exchange: _encoded_size(exchange) > LIMITS.message,
        reason="The size of a mail does not count the dots of transparency (RFC 1870 section 6.1)",
        example=(*_BEGUN, *[b".." + b"\r\n"] * (LIMITS.message // 4 + 1), b".\r\n"),
    ),
)
