"""Mails as lines for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import msgspec

from services.smtp.mailstore import MailInfo


def print_json(output: BinaryIO, value: object) -> None:
    """Writes a value as indented JSON."""
    output.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def print_line(output: BinaryIO, info: MailInfo) -> None:
    """Writes what is known of a mail as one line."""
    line = f"{info.id}  {_time(info)}  {info.size:>9}  {info.peer}  <{info.mail_from}>  "
    output.write(line.encode() + b", ".join(f"<{address}>".encode() for address in info.rcpt_tos) + b"\n")


def rows(infos: Sequence[MailInfo]) -> list[dict[str, object]]:
    """What is known of mails, for JSON."""
    return [row(info) for info in infos]


def row(info: MailInfo) -> dict[str, object]:
    """What is known of a mail, for JSON."""
    return {
        "id": info.id,
        "mail_from": info.mail_from,
        "rcpt_tos": info.rcpt_tos,
        "size": info.size,
        "received_at": _time(info),
        "peer": info.peer,
        "sha256": info.sha256,
        "helo": info.helo,
        "protocol": info.protocol,
        "mail_options": info.mail_options,
        "rcpt_options": info.rcpt_options,
    }


def _time(info: MailInfo) -> str:
    return info.received_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
