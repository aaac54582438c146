"""What EHLO announces (RFC 5321 4.1.1.1), one line per extension, in the order in which clients see it."""

from __future__ import annotations

from services.smtp.settings import SmtpSettings
from services.smtp.state import SmtpState


def announced(settings: SmtpSettings, state: SmtpState) -> tuple[str, ...]:
    """The lines after the host name, e.g. `SIZE 1000`: keyword and parameters.

    Args:
        settings: limits and what is configured.
        state: the session, for what is announced to some clients only.
    """
    del state  # nothing depends on the session yet
    limits = settings.limits
    return ("PIPELINING", f"SIZE {limits.message}", "8BITMIME", "ENHANCEDSTATUSCODES", "HELP")
