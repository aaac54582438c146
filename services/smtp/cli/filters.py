"""Which mails a command is about: `--to`, `--from`, `--subject`, `--since`."""

from __future__ import annotations

import argparse
import email.errors
import email.policy
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from email.parser import BytesHeaderParser
from typing import Final

from rr_tcp import ConfigurationError
from services.smtp.cli.surroundings import WrongUsageError
from services.smtp.durations import parse_duration
from services.smtp.errors import MailGoneError
from services.smtp.mailstore import MailInfo, MailStore

HEADER: Final = 1024 * 1024
"""Bytes of a text in which its subject is looked for, should its header not end before."""

_END_OF_HEADER: Final = re.compile(rb"\r?\n\r?\n")

_BROKEN: Final = (email.errors.MessageError, ValueError, LookupError, AttributeError, TypeError, RecursionError)
"""What the standard library raises for headers that are broken in ways it did not think of."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `Filter.of` reads."""
    parser.add_argument("--to", metavar="ADDRESS", help="with this recipient; * stands for anything, case for nothing")
    parser.add_argument("--from", dest="sender", metavar="ADDRESS", help="with this sender, likewise; '' for none")
    parser.add_argument("--subject", metavar="TEXT", help="with this in the subject, whatever the case")


class Filter:
    """Says of mails whether they are meant.

    Args:
        to: matches one of the envelope's recipients; `*` stands for anything.
        sender: matches the envelope's sender; `*` stands for anything.
        subject: is contained in the subject.
        since: the earliest time of reception.
    """

    def __init__(
        self,
        *,
        to: str | None = None,
        sender: str | None = None,
        subject: str | None = None,
        since: datetime | None = None,
    ) -> None:
        self._to = None if to is None else _pattern(to)
        self._sender = None if sender is None else _pattern(sender)
        self._subject = None if subject is None else subject.casefold()
        self._since = since
        self._words = [
            f"{word} {value!r}"
            for word, value in (("to", to), ("from", sender), ("with the subject", subject))
            if value is not None
        ]

    @classmethod
    def of(cls, options: argparse.Namespace, *, since: datetime | None = None) -> Filter:
        """The filter that the options of `add_arguments` describe."""
        return cls(to=options.to, sender=options.sender, subject=options.subject, since=since)

    def __str__(self) -> str:
        return " ".join(["mail", *self._words])

    def matches(self, store: MailStore, info: MailInfo) -> bool:
        """Whether the mail is meant; the beginning of its text is read only if everything else fits."""
        return (
            (self._since is None or info.received_at >= self._since)
            and (self._sender is None or self._sender(info.mail_from))
            and (self._to is None or any(map(self._to, info.rcpt_tos)))
            and (self._subject is None or self._subject in subject_of(store, info.id).casefold())
        )


def parse_since(text: str, now: datetime) -> datetime:
    """A time in ISO 8601, in UTC unless it says otherwise, or how long before now: `10m`.

    Raises:
        WrongUsageError: it is neither.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now - timedelta(seconds=parse_duration(text, "--since"))
        except ConfigurationError:
            raise WrongUsageError(
                f"--since is {text!r}: give a time, e.g. 2026-01-31T12:00:00Z, or how long ago, e.g. 10m"
            ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def subject_of(store: MailStore, mail_id: str) -> str:
    """The decoded subject of a mail (RFC 2047), "" without one or when the mail is gone."""
    try:
        return decode_subject(_header(store.read(mail_id)))
    except MailGoneError:
        return ""


def decode_subject(header: bytes) -> str:
    """The subject in a mail's header, as far as it can be made out."""
    for policy in (email.policy.default, email.policy.compat32):
        try:
            return str(BytesHeaderParser(policy=policy).parsebytes(header)["subject"] or "")
        except _BROKEN:
            continue
    return ""


def _header(pieces: Iterable[bytes]) -> bytes:
    header = b""
    for piece in pieces:
        searched = max(len(header) - 3, 0)
        header += piece
        if end := _END_OF_HEADER.search(header, searched):
            return header[: end.end()]
        if len(header) >= HEADER:
            break
    return header


def _pattern(text: str) -> Callable[[str], bool]:
    expression = ".*".join(map(re.escape, text.split("*")))
    compiled = re.compile(expression, re.IGNORECASE | re.DOTALL)
    return lambda address: compiled.fullmatch(address) is not None
