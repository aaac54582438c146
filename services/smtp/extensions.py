"""What EHLO announces (RFC 5321 4.1.1.1), one line per extension, in the order in which clients see it."""

from __future__ import annotations

from services.smtp.auth import AuthPolicy
from services.smtp.settings import SmtpSettings
from services.smtp.state import SmtpState


def announced(settings: SmtpSettings, state: SmtpState, auth: AuthPolicy) -> tuple[str, ...]:
    """The lines after the host name, e.g. `SIZE 1000`: keyword and parameters.

    Args:
        settings: limits and what is configured.
        state: the session, for what is announced to some clients only.
        auth: what the listener has of AUTH.
    """
    del state  # nothing depends on the session yet
    limits = settings.limits
    extensions = (
        "PIPELINING",  # RFC 2920
        f"SIZE {limits.message}",  # RFC 1870
        "8BITMIME",  # RFC 6152
        "SMTPUTF8",  # RFC 6531
        "ENHANCEDSTATUSCODES",  # RFC 2034
        "DSN",  # RFC 3461
        f"LIMITS MAILMAX={limits.mails} RCPTMAX={limits.recipients}",  # RFC 9422
        auth.extension,  # RFC 4954
        "VRFY",
        "HELP",
    )
    return tuple(filter(None, extensions))
