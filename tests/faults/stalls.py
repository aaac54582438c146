"""Mails that a handler answers late or never, sent on purpose to keep workers busy."""

from __future__ import annotations

import time
from random import Random
from typing import Self

from tests.e2e.clients import RawClient, dot_stuffed
from tests.e2e.targets import Address
from tests.faults.dialogues import make_attempt

_TEXT = b"Subject: this one takes long\r\n\r\n"


class StalledMail:
    """A mail whose end was sent, for whose reply nobody waits yet.

    Args:
        address: the SMTP service.
        sender: its address; the beginning says what the handler does (`handlers`).

    Attributes:
        attempt: the mail.
        began: just before its end was sent, in seconds that never jump.
    """

    def __init__(self, address: Address, sender: str) -> None:
        self.attempt = make_attempt(Random(sender), sender, _TEXT)  # noqa: S311 - recipients, no secrets
        self._client = RawClient(address)
        recipients = [f"RCPT TO:<{to}>" for to in self.attempt.rcpt_tos]
        commands = ["EHLO c", f"MAIL FROM:<{sender}>", *recipients, "DATA"]
        replies = [self._client.reply(), *(self._client.command(command.encode()) for command in commands)]
        assert [reply[:1] for reply in replies] == [b"2"] * len(commands) + [b"3"], replies
        self.began = time.monotonic()  # before: RoadRunner may have it, and its clock run, before we go on
        self._client.send(dot_stuffed(_TEXT))
        self.attempt.sent = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._client.__exit__()

    def end(self) -> float:
        """Waits for the reply, or the end of the connection; the seconds since the mail's end was sent."""
        try:
            self.attempt.reply = self._client.reply()
        except ConnectionError:
            self.attempt.reply = b""
        return time.monotonic() - self.began
