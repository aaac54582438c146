"""An ESMTP service whose sessions move between worker processes."""

from services.smtp.app import SmtpProtocol
from services.smtp.errors import MailStoreError
from services.smtp.limits import Limits
from services.smtp.mailstore import Mail, MailInfo, MailStore, open_mail_store
from services.smtp.settings import SmtpSettings

__all__ = [
    "Limits",
    "Mail",
    "MailInfo",
    "MailStore",
    "MailStoreError",
    "SmtpProtocol",
    "SmtpSettings",
    "open_mail_store",
]
