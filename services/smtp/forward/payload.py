"""What a webhook is sent: one JSON object for each mail, made in pieces. docs/delivery.md describes it to receivers."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from services.smtp import trace
from services.smtp.mailstore import MailInfo

TYPE: Final = "mail.received"
"""What happened. Receivers should pass over types that they do not know."""

_END: Final = b'"}}'
_GROUP: Final = 3  # bytes that base64 turns into four characters


class _Mail(msgspec.Struct):
    """The fields are those of `mails --json`; the last one is followed by the text."""

    id: str
    mail_from: str
    rcpt_tos: tuple[str, ...]
    size: int
    received_at: str
    peer: str
    sha256: str
    helo: str
    protocol: str
    mail_options: tuple[str, ...]
    rcpt_options: tuple[str, ...]
    trace: str
    message: str = ""


class _Event(msgspec.Struct):
    type: str
    timestamp: str
    data: _Mail


class Payload:
    """The JSON object of one mail; the text goes through, piece by piece.

    Args:
        info: the mail.
        hostname: of the server that received it.
    """

    def __init__(self, info: MailInfo, *, hostname: str) -> None:
        received_at = info.received_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        mail = _Mail(
            id=info.id,
            mail_from=info.mail_from,
            rcpt_tos=info.rcpt_tos,
            size=info.size,
            received_at=received_at,
            peer=info.peer,
            sha256=info.sha256,
            helo=info.helo,
            protocol=info.protocol,
            mail_options=info.mail_options,
            rcpt_options=info.rcpt_options,
            trace=(trace.return_path(info) + trace.received(info, by=hostname)).decode(),
        )
        self._begin = msgspec.json.encode(_Event(TYPE, received_at, mail)).removesuffix(_END)
        self._size = info.size

    def __len__(self) -> int:
        """Bytes of it all."""
        groups = -(-self._size // _GROUP)
        return len(self._begin) + 4 * groups + len(_END)

    async def pieces(self, text: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """It all, for the text of the mail."""
        yield self._begin
        rest = b""
        async for piece in text:
            data = rest + piece
            whole = len(data) - len(data) % _GROUP
            rest = data[whole:]
            yield base64.b64encode(data[:whole])
        yield base64.b64encode(rest) + _END
