"""All about a mail as one JSON object, for stores that know nothing but keys and values."""

from __future__ import annotations

import dataclasses
from datetime import UTC

import msgspec

from services.smtp.errors import MailStoreError
from services.smtp.mailstore.interface import MailInfo

_decoder = msgspec.json.Decoder(MailInfo)


def encode_info(info: MailInfo) -> bytes:
    """The mail without its position, which its store knows."""
    return msgspec.json.encode(dataclasses.replace(info, received_at=info.received_at.astimezone(UTC), position=""))


def decode_info(data: bytes, position: str) -> MailInfo:
    """The mail at a position; `MailStoreError` when the bytes are no such thing."""
    try:
        return dataclasses.replace(_decoder.decode(data), position=position)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MailStoreError(
            f"the mail store is damaged at {position}: {error}. Something else writes to it, or a newer version did"
        ) from error
