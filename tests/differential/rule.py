"""What a deliberate difference is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.differential.compare import Exchange, Side

EHLO: Final = b"EHLO c\r\n"
MAIL: Final = b"MAIL FROM:<a@a.test>\r\n"
RCPT: Final = b"RCPT TO:<b@b.test>\r\n"
"""The plain commands of which examples are made."""

ANY: Final = r"[2-5]\d\d "
"""Any reply, for `Rule.ours` and `Rule.theirs`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One deliberate difference.

    Attributes:
        name: of the rule, also in the documentation.
        ours: a regular expression for what the service replies, code and text.
        theirs: one for what aiosmtpd replies.
        reason: why, also in the documentation.
        example: a dialogue whose last line is the difference.
        line: a regular expression for the line, or for the whole text of a mail.
        in_text: whether the line is the end of a text.
        in_auth: whether the line is the response to a challenge; None for both.
        hooked: whether the example needs the handler `Recorder`.
        also: what else must hold.
    """

    name: str
    ours: str
    theirs: str
    reason: str
    example: tuple[bytes, ...]
    line: bytes = b".*"
    in_text: bool = False
    in_auth: bool | None = False
    hooked: bool = False
    also: Callable[[Exchange], bool] = lambda _: True

    def explains(self, exchange: Exchange) -> bool:
        """Whether the difference is this one."""
        return (
            exchange.before.in_text == self.in_text
            and self.in_auth in {None, exchange.before.in_auth}
            and re.fullmatch(self.line, exchange.line, re.IGNORECASE | re.DOTALL) is not None
            and _matches(self.ours, exchange.ours)
            and _matches(self.theirs, exchange.theirs)
            and self.also(exchange)
        )


def _matches(pattern: str, side: Side) -> bool:
    [reply] = side.replies if len(side.replies) == 1 else [None]
    return reply is not None and re.match(pattern, f"{reply.code} {reply.text}") is not None
