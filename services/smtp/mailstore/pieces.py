"""A text in pieces: cut anew, and counted on its way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from services.smtp.mailstore.interface import PIECE, MailEnvelope, MailInfo


def recut(pieces: Iterable[bytes], size: int = PIECE) -> Iterator[bytes]:
    """The same bytes in pieces of `size`, the last one shorter; none for an empty text.

    A client that sends byte by byte must not make a store keep bytes one by one, nor one that sends all at once make it
    hold all at once.
    """
    waiting: list[bytes] = []
    length = 0
    for piece in pieces:
        start = 0
        while length + len(piece) - start >= size:
            end = start + size - length
            waiting.append(piece[start:end])
            yield b"".join(waiting)
            waiting.clear()
            start, length = end, 0
        if start < len(piece):
            waiting.append(piece[start:])
            length += len(piece) - start
    if waiting:
        yield b"".join(waiting)


class Measured:
    """Pieces that are counted and digested while somebody takes them.

    Args:
        pieces: the text.

    Attributes:
        size: bytes taken so far.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._digest = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._digest.update(piece)
            self.size += len(piece)
            yield piece

    def info(self, envelope: MailEnvelope) -> MailInfo:
        """What is known of the mail once all was taken."""
        return MailInfo(
            id=envelope.id,
            mail_from=envelope.mail_from,
            rcpt_tos=envelope.rcpt_tos,
            received_at=envelope.received_at,
            peer=envelope.peer,
            helo=envelope.helo,
            protocol=envelope.protocol,
            mail_options=envelope.mail_options,
            rcpt_options=envelope.rcpt_options,
            size=self.size,
            sha256=self._digest.hexdigest(),
        )
