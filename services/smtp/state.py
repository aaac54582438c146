"""An SMTP session as plain data: all that must be known to go on with it in another process."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec

from services.smtp.auth import Exchange
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
    AUTH = enum.auto()
    """The client is to respond to a challenge."""
    DATA = enum.auto()
    """The text of the mail is being read."""
    CLOSED = enum.auto()
    """The last reply was given."""


class Transaction(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A mail on its way in, without its text.

    Attributes:
        id: names the mail from MAIL on, here and in the mail store.
        mail_from: the sender's address, "" for the null sender.
        mail_parameters: the parameters of MAIL, keywords in upper case.
        rcpt_tos: the recipients' addresses.
        rcpt_parameters: the parameters with which each recipient came, parted by spaces as in a command, "" for none;
            in the order of `rcpt_tos`, and shorter where the last ones had none.
        hook_mail_options: `mail_options` when a hook made something else of it.
        hook_rcpt_options: `rcpt_options` when a hook made something else of it.
    """

    id: str
    mail_from: str
    mail_parameters: list[str] = msgspec.field(default_factory=list)
    rcpt_tos: list[str] = msgspec.field(default_factory=list)
    rcpt_parameters: list[str] = msgspec.field(default_factory=list)
    hook_mail_options: list[str] | None = None
    hook_rcpt_options: list[str] | None = None

    @property
    def smtputf8(self) -> bool:
        """Whether addresses and header may be UTF-8 (RFC 6531)."""
        return "SMTPUTF8" in self.mail_parameters

    @property
    def mail_options(self) -> list[str]:
        """The parameters of MAIL as aiosmtpd's Envelope has them."""
        return list(self.mail_parameters) if self.hook_mail_options is None else self.hook_mail_options

    @property
    def rcpt_options(self) -> list[str]:
        """The parameters of all RCPTs in one list, as aiosmtpd's Envelope has them."""
        if self.hook_rcpt_options is None:
            return [option for options in self.rcpt_parameters for option in options.split(" ") if option]
        return self.hook_rcpt_options

    def add_recipient(self, address: str, options: Sequence[str]) -> None:
        """One more recipient, with the parameters of its RCPT."""
        if options:
            self.rcpt_parameters += [""] * (len(self.rcpt_tos) - len(self.rcpt_parameters))
            self.rcpt_parameters.append(" ".join(options))
        self.rcpt_tos.append(address)


class SmtpState(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A session between two pieces of input.

    Attributes:
        helo: the name that the client gave, "" before HELO and EHLO.
        esmtp: whether it came with EHLO.
        partial: the beginning of a command line or a response that is not over yet; never longer than it may be.
        overlong: the line is over its limit and is being skipped.
        skip: bytes still to come that belong to a command which was refused, and are no commands.
        transaction: the mail under way.
        body: its text, from DATA on.
        auth: the authentication under way; nothing of it is left once it is over.
        authenticated: whether one succeeded.
        user: the name by which it did, "" where a handler's own method keeps that to itself.
        auth_failures: how many did not.
        refused: whether the last MAIL was refused, and in a mail without recipients, whether the last RCPT was.
        mails: MAIL commands so far.
        bad_commands: commands refused so far for being unknown, malformed or out of sequence, and addresses refused
            for good.
        closed: the last reply was given.
        session_attributes: what a handler keeps on aiosmtpd's Session, see `attributes`.
        envelope_attributes: what it keeps on the Envelope; gone with the end of the mail, RSET, HELO and EHLO, and not
            before: a hook that refuses MAIL finds them at the next one, as on aiosmtpd's Envelope.
    """

    helo: str = ""
    esmtp: bool = False
    partial: bytes = b""
    overlong: bool = False
    skip: int = 0
    transaction: Transaction | None = None
    body: BodyState | None = None
    auth: Exchange | None = None
    authenticated: bool = False
    user: str = ""
    auth_failures: int = 0
    refused: bool = False
    mails: int = 0
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
        if self.auth is not None:
            return Phase.AUTH
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
        self.refused = False
        self.envelope_attributes = b""
