"""Handlers of the mail service that do what handlers should not; workers load them (`SMTP_HANDLER`)."""

from __future__ import annotations

import asyncio
import time

from aiosmtpd.smtp import MISSING, SMTP, Envelope, Session

HANGS, SPINS, IS_SLOW = "hangs-", "spins-", "is-slow-"
"""How the address of a sender begins whose mail is answered late, or never."""


class Stalling:
    """Takes every mail, but some senders' never, or slowly.

    Args:
        seconds: that a slow one takes.
    """

    def __init__(self, seconds: str) -> None:
        self._seconds = float(seconds)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> object:  # noqa: N802 - aiosmtpd's name
        """Waits for nothing, waits busily, or waits a while."""
        sender = envelope.mail_from or ""
        if sender.startswith(HANGS):
            await asyncio.Event().wait()
        while sender.startswith(SPINS):
            pass
        if sender.startswith(IS_SLOW):
            time.sleep(self._seconds)  # noqa: ASYNC251 - the worker is to be busy
        return MISSING


def setting(seconds: float) -> dict[str, str]:
    """What a stack needs in its environment to have this handler."""
    return {"SMTP_HANDLER": f"{Stalling.__module__}.{Stalling.__name__} {seconds:g}"}
