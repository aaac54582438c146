"""Notifications to the sender of a mail about its delivery (RFC 3464, asked for as RFC 3461 has it).

Failures are reported unless the sender wants none (NOTIFY). So are deliveries to a smarthost without the extension DSN,
when the sender asked for them: nobody behind it would report them. Delays are not.
The null sender is told nothing, so that no notification is ever about another one (RFC 5321 4.5.5).

Nothing here talks to anybody.
"""

from __future__ import annotations

import email.utils
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.smtp.forward.interface import Report
from services.smtp.forward.outgoing import header_of, rcpt_options
from services.smtp.forward.progress import Result
from services.smtp.mailstore import MailEnvelope, MailInfo

QUOTED: Final = 50_000
"""Bytes of a text that is returned whole when the sender asks for that (RET=FULL); of a longer one, and by default,
only the header is."""

_STATUS: Final = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_XTEXT: Final = re.compile(r"\+([0-9A-F]{2})")

_UNDELIVERED: Final = "could not be delivered to"
_HANDED_ON: Final = (
    "was handed on to a server that sends no notifications of its own, so that you may hear no more of it, for"
)


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports.

    Attributes:
        hostname: how we call ourselves.
        remote: the host name of the smarthost.
    """

    hostname: str
    remote: str


def asked_for(info: MailInfo, results: Mapping[int, Result]) -> dict[int, Result]:
    """Those of the results that the sender of a mail is to be told."""
    return {number: found for number, found in results.items() if info.mail_from and _asked_for(info, number, found)}


def quotes_all(info: MailInfo) -> bool:
    """Whether a notification returns the text of a mail, not its header alone."""
    return "RET=FULL" in info.mail_options and info.size <= QUOTED


def notification(
    info: MailInfo, results: Mapping[int, Result], text: bytes, *, reporter: Reporter, now: datetime
) -> Report:
    """The mail that tells the sender of another one what became of it.

    Args:
        info: the mail that it is about.
        results: by the number of the recipient, see `asked_for`.
        text: the mail's text, or at least its header.
        reporter: who we are.
        now: the time, with a time zone.
    """
    report_id = _id(info, results)
    utf8 = "SMTPUTF8" in info.mail_options
    boundary = f"=_{report_id}"
    parts = [
        _part(f"text/plain; charset={'utf-8' if utf8 else 'us-ascii'}", _explanation(info, results, reporter)),
        _part(f"message/{'global-' if utf8 else ''}delivery-status", _status(info, results, reporter, now, utf8=utf8)),
        _quotation(info, text, utf8=utf8),
    ]
    dashes = f"--{boundary}".encode()
    body = b"".join(dashes + b"\r\n" + part + b"\r\n" for part in parts)
    whole = _header(info, results, report_id, boundary, reporter, now).encode() + b"\r\n" + body + dashes + b"--\r\n"
    options: tuple[str, ...] = () if whole.isascii() else ("BODY=8BITMIME", *(["SMTPUTF8"] if utf8 else []))
    envelope = MailEnvelope(
        id=report_id, mail_from="", rcpt_tos=(info.mail_from,), received_at=now, peer="", mail_options=options
    )
    return Report(envelope, whole)


def _asked_for(info: MailInfo, number: int, found: Result) -> bool:
    wanted = rcpt_options(info, number).get("NOTIFY", "FAILURE").split(",")
    if found.state == "failed":
        return "FAILURE" in wanted
    return "SUCCESS" in wanted and not found.notifies


def _id(info: MailInfo, results: Mapping[int, Result]) -> str:
    """The same for the same mail and recipients, whoever makes the notification, and however often."""
    numbers = ",".join(map(str, sorted(results)))
    return hashlib.sha256(f"notification {info.id} {numbers}".encode()).hexdigest()[:32]


def _header(
    info: MailInfo, results: Mapping[int, Result], report_id: str, boundary: str, reporter: Reporter, now: datetime
) -> str:
    failed = any(found.state == "failed" for found in results.values())
    lines = [
        f"From: Mail Delivery System <MAILER-DAEMON@{reporter.hostname}>",
        f"To: <{info.mail_from}>",
        f"Subject: {'Undelivered Mail Returned to Sender' if failed else 'Mail Handed On'}",
        f"Date: {email.utils.format_datetime(now)}",
        f"Message-ID: <{report_id}@{reporter.hostname}>",
        "Auto-Submitted: auto-replied",  # RFC 3834 section 5
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
    ]
    return "".join(f"{line}\r\n" for line in lines)


def _explanation(info: MailInfo, results: Mapping[int, Result], reporter: Reporter) -> str:
    lines = [f"This is the mail server {reporter.hostname}."]
    for state, verdict in (("failed", _UNDELIVERED), ("delivered", _HANDED_ON)):
        of_state = {number: found for number, found in results.items() if found.state == state}
        if of_state:
            lines += ["", f"Your mail {verdict}", ""]
            for number, found in of_state.items():
                lines += [
                    f"  <{info.rcpt_tos[number]}>",
                    "    " + " ".join(filter(None, [str(found.code or ""), found.text])),
                ]
    return "".join(f"{line}\r\n" for line in lines)


def _status(info: MailInfo, results: Mapping[int, Result], reporter: Reporter, now: datetime, *, utf8: bool) -> str:
    """The fields of RFC 3464 section 2, those of the mail and then of each recipient."""
    lines = [f"Reporting-MTA: dns; {reporter.hostname}"]
    lines += [
        f"Original-Envelope-Id: {_from_xtext(option.removeprefix('ENVID='))}"
        for option in info.mail_options
        if option.startswith("ENVID=")
    ]
    lines += [f"Arrival-Date: {email.utils.format_datetime(info.received_at)}"]
    for number, found in results.items():
        lines += ["", *_recipient(info, number, found, reporter, now, utf8=utf8)]
    return "".join(f"{line}\r\n" for line in lines)


def _recipient(
    info: MailInfo, number: int, found: Result, reporter: Reporter, now: datetime, *, utf8: bool
) -> list[str]:
    original = rcpt_options(info, number).get("ORCPT", "")
    address_type, _, address = original.partition(";")
    xtext = address_type.lower() != "utf-8"
    final = info.rcpt_tos[number]
    lines = [f"Original-Recipient: {address_type}; {_from_xtext(address) if xtext else address}"] if original else []
    lines += [
        f"Final-Recipient: {'rfc822' if final.isascii() or not utf8 else 'utf-8'}; {final}",
        f"Action: {'failed' if found.state == 'failed' else 'relayed'}",
        f"Status: {_enhanced_status(found)}",
    ]
    if found.code:
        lines += [f"Remote-MTA: dns; {reporter.remote}", f"Diagnostic-Code: smtp; {found.code} {found.text}"]
    return [*lines, f"Last-Attempt-Date: {email.utils.format_datetime(now)}"]


def _enhanced_status(found: Result) -> str:
    """The server's own (RFC 2034), if it says one that fits, else the one that says nothing more than the state."""
    digits = {"delivered": "2", "failed": "45"}.get(found.state, "4")
    stated = _STATUS.search(found.text)
    return stated[1] if stated and stated[1][0] in digits else f"{digits[-1]}.0.0"


def _quotation(info: MailInfo, text: bytes, *, utf8: bool) -> bytes:
    if quotes_all(info):
        return _part("message/global" if utf8 else "message/rfc822", text)
    return _part("message/global-headers" if utf8 else "text/rfc822-headers", header_of(text))


def _part(content_type: str, content: str | bytes) -> bytes:
    data = content.encode() if isinstance(content, str) else content
    encoding = "7bit" if data.isascii() else "8bit"
    return f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + data


def _from_xtext(text: str) -> str:
    return _XTEXT.sub(lambda match: chr(int(match[1], 16)), text)
