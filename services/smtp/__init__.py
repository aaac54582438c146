"""An ESMTP service whose sessions move between worker processes."""

from services.smtp.app import SmtpProtocol
from services.smtp.errors import MailGoneError, MailStoreError, MailStoreFullError
from services.smtp.limits import Limits
from services.smtp.mailstore import Claim, MailEnvelope, MailInfo, MailQueue, MailStore, open_mail_store
from services.smtp.settings import SmtpSettings

__all__ = [
    "Claim",
    "Limits",
    "MailEnvelope",
    "MailGoneError",
    "MailInfo",
    "MailQueue",
    "MailStore",
    "MailStoreError",
    "MailStoreFullError",
    "SmtpProtocol",
    "SmtpSettings",
    "open_mail_store",
]
