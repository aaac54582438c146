"""An SMTP session as plain data: all that must be known to go on with it in another process."""

from __future__ import annotations

import enum

import msgspec

from services.smtp.body import BodyState
from services.smtp.errors import LocalProtocolError


class Phase(enum.Enum):
    """How far the dialogue is. It follows from the data and is never stored apart from it."""

    START = enum.auto()
    """The client has not said who it is."""
    READY = enum.auto()
    """It has; no mail is under way."""
    MAIL = enum.auto()
    """The sender is known."""
    RCPT = enum.auto()
    """So is at least one recipient."""
    DATA = enum.auto()
    """The text of the mail is being read."""
    CLOSED = enum.auto()
    """The last reply was given."""


class Transaction(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A mail on its way in, without its text.

    Attributes:
        id: names the mail from MAIL on, here and in the mail store.
        mail_from: the sender's address, "" for the null sender.
        mail_options: the parameters of MAIL in upper case.
        rcpt_tos: the recipients' addresses.
        rcpt_options: the parameters of all RCPTs.
    """

    id: str
    mail_from: str
    mail_options: list[str] = msgspec.field(default_factory=list)
    rcpt_tos: list[str] = msgspec.field(default_factory=list)
    rcpt_options: list[str] = msgspec.field(default_factory=list)


class SmtpState(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A session between two pieces of input.

    Attributes:
        helo: the name that the client gave, "" before HELO and EHLO.
        esmtp: whether it came with EHLO.
        partial: the beginning of a command line that is not over yet; never longer than a command line may be.
        overlong: the line is over its limit and is being skipped.
        transaction: the mail under way.
        body: its text, from DATA on.
        messages: mails received so far.
        bad_commands: commands refused so far for being unknown, malformed or out of sequence.
        closed: the last reply was given.
        session_attributes: what a handler keeps on aiosmtpd's Session, see `attributes`.
        envelope_attributes: what it keeps on the Envelope; gone with the end of the mail, RSET, HELO and EHLO, and not
            before: a hook that refuses MAIL finds them at the next one, as on aiosmtpd's Envelope.
    """

    helo: str = ""
    esmtp: bool = False
    partial: bytes = b""
    overlong: bool = False
    transaction: Transaction | None = None
    body: BodyState | None = None
    messages: int = 0
    bad_commands: int = 0
    closed: bool = False
    session_attributes: bytes = b""
    envelope_attributes: bytes = b""

    @property
    def phase(self) -> Phase:
        """How far the dialogue is."""
        if self.closed:
            return Phase.CLOSED
        if self.body is not None:
            return Phase.DATA
        if not self.helo:
            return Phase.START
        if self.transaction is None:
            return Phase.READY
        return Phase.RCPT if self.transaction.rcpt_tos else Phase.MAIL

    @property
    def mail(self) -> Transaction:
        """The mail under way; `LocalProtocolError` when there is none."""
        if self.transaction is None:
            raise LocalProtocolError("the mail under way is gone from the state")
        return self.transaction

    def reset(self) -> None:
        """Ends the mail under way."""
        self.transaction = None
        self.body = None
        self.envelope_attributes = b""
