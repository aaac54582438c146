"""Every error that `services.smtp` raises, in one tree.

    SmtpError
    ├── RemoteProtocolError    the client broke a rule; carries the reply that tells it so
    ├── LocalProtocolError     the code around the engine broke one of the engine's rules
    ├── HandlerFaultError      a hook returned or left behind what cannot be used
    ├── MailStoreError         the mail store cannot be opened, read or written
    │   ├── NoMailStoreError    it was not made yet
    │   ├── MailStoreFullError  it has no room for a mail now
    │   └── MailGoneError       the mail is not there, or not there any more
    ├── UsersFileError         the file of users cannot be read, or has a line that is no user
    ├── ProgressError          what a queue keeps of a mail cannot be read
    ├── ReportError            a notification of a mail's sender cannot be stored
    └── UnreachableError       the smarthost cannot be reached, or takes nothing from us

The client only ever sees replies. A `RemoteProtocolError` never leaves the engine; a `MailStoreError` at the end of a
mail becomes 451, a `MailStoreFullError` 452, a `UsersFileError` during AUTH 454.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.smtp.replies import Reply


class SmtpError(Exception):
    """Base of every error of this package."""


class RemoteProtocolError(SmtpError):
    """The client broke a rule of SMTP.

    Attributes:
        reply: what the client is told.
        closing: whether the connection ends with this reply.
        counted: whether it is one of the bad commands of which a session may have so many.
    """

    def __init__(self, reply: Reply, *, closing: bool = False, counted: bool | None = None) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.closing = closing
        self.counted = 500 <= reply.code <= 504 if counted is None else counted  # malformed, unknown or misplaced


class LocalProtocolError(SmtpError):
    """The engine was used against its rules, e.g. asked for the next event before the last one was answered."""


class HandlerFaultError(SmtpError):
    """A handler's hook returned no reply line, or left an attribute or value behind that cannot be saved."""


class MailStoreError(SmtpError):
    """The mail store cannot be opened, read or written; the message says what to do."""


class NoMailStoreError(MailStoreError):
    """There is no mail store yet, and whoever asked does not make one."""


class MailStoreFullError(MailStoreError):
    """The mail store has no room for a mail now; the message says how to make some."""


class MailGoneError(MailStoreError):
    """A mail is not in the store, or was deleted while it was read.

    Args:
        mail_id: its id.
    """

    def __init__(self, mail_id: str) -> None:
        super().__init__(f"there is no mail {mail_id}: `python -m services.smtp mails` lists those there are")


class UsersFileError(SmtpError):
    """The file of users cannot be used; the message says what to do, and quotes neither a hash nor a password."""


class ProgressError(SmtpError):
    """What a queue keeps of a mail is damaged, or of a later version."""


class ClaimLostError(SmtpError):
    """A mail that is under way is another consumer's now, or was deleted."""


class ReportError(SmtpError):
    """The notification of a mail's sender cannot be stored now."""


class UnreachableError(SmtpError):
    """The smarthost cannot be reached, or does not let us in: no fault of any mail, so all are tried again."""
