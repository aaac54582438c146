"""Where accepted mail rests, and how it is handed on. The backends are SQLite, Maildir and Redis, chosen by one URL."""

from services.smtp.mailstore.interface import (
    Claim,
    Counts,
    MailEnvelope,
    MailInfo,
    MailQueue,
    MailSink,
    MailStore,
    QueueStatus,
    Start,
)
from services.smtp.mailstore.opening import ACCEPTED, open_mail_store

__all__ = [
    "ACCEPTED",
    "Claim",
    "Counts",
    "MailEnvelope",
    "MailInfo",
    "MailQueue",
    "MailSink",
    "MailStore",
    "QueueStatus",
    "Start",
    "open_mail_store",
]
