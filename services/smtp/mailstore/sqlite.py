"""Mail in one SQLite file, shared by all processes of a host."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Final

from services.smtp.errors import MailGoneError, MailStoreError
from services.smtp.mailstore import table
from services.smtp.mailstore.indexed import IndexedStore
from services.smtp.mailstore.interface import PIECE, PRUNED_AT_ONCE, MailEnvelope, MailInfo
from services.smtp.mailstore.pieces import Measured, recut
from services.smtp.mailstore.schema import PIECES

SHORT: Final = 16 * 1024
"""Bytes of a text that are kept in its mail's row, where it is soonest written. A listing reads over them."""


class SqliteMailStore(IndexedStore):
    """A `MailStore` in one file on a local disk, see `Database`.

    A text is stored as rows of at most `PIECE` bytes, in the transaction that adds its mail: its size is not bounded by
    SQLite's rows, and no more than a few pieces are in memory. A short one is in the mail's own row.

    Args:
        path: the file.
        create: whether it is made when it does not exist, with its directory.
        room: bytes that all texts may take together; None for as many as fit on the disk.
    """

    def __init__(self, path: Path, *, create: bool = True, room: int | None = None) -> None:
        super().__init__(path, create=create)
        self._room = room

    def open(self) -> None:
        """See `MailStore.open`."""
        with self._database.session("opened"):
            pass

    def add(self, envelope: MailEnvelope, pieces: Iterable[bytes]) -> MailInfo:
        """See `MailStore.add`."""
        measured = Measured(pieces)
        text = recut(measured)
        content, more = next(text, b""), next(text, None)
        if more is None and len(content) <= SHORT:
            return self._add_short(measured.info(envelope), content)
        with self._database.writing() as connection:
            if (known := table.found(self._database, connection, envelope.id)) is not None:
                return known
            seq = table.next_seq(connection)
            _insert_pieces(connection, seq, chain((content,), () if more is None else (more,), text))
            info = measured.info(envelope)
            table.insert(connection, seq, info)
            table.check_room(connection, self._room)
        return info

    def _add_short(self, info: MailInfo, content: bytes) -> MailInfo:
        """Adds a mail whose text is in its row: no more statements than it takes, as the others wait meanwhile."""
        with self._database.writing() as connection:
            if table.insert_next(connection, info, content):
                table.check_room(connection, self._room)
                return info
            known = table.found(self._database, connection, info.id)
        return known or info

    def mails(self, *, after: str = "") -> Iterator[MailInfo]:
        """See `MailStore.mails`."""
        return chain.from_iterable(table.batches(self._database, after))

    def get(self, mail_id: str) -> MailInfo | None:
        """See `MailStore.get`."""
        with self._database.session("read") as connection:
            return table.found(self._database, connection, mail_id)

    def read(self, mail_id: str) -> Iterator[bytes]:
        """See `MailStore.read`. Between two pieces no read goes on."""
        info = self.get(mail_id)
        if info is None:
            raise MailGoneError(mail_id)
        seq, rest, number = int(info.position), info.size, 0
        while rest > 0:
            piece = self._piece(seq, number)
            if not piece:
                raise self._incomplete(info, rest)
            rest -= len(piece)
            number += 1
            yield piece

    def _piece(self, seq: int, number: int) -> bytes:
        """A piece of a text; empty when there is none."""
        with self._database.session("read") as connection:
            row = connection.execute("SELECT data FROM piece WHERE place = ?", (seq * PIECES + number,)).fetchone()
            if row is not None:
                return bytes(row[0])
            row = connection.execute("SELECT length(content) FROM mail WHERE seq = ?", (seq,)).fetchone()
            if row is None or row[0] <= number * PIECE:
                return b""
            with connection.blobopen("mail", "content", seq, readonly=True) as text:
                text.seek(number * PIECE)
                return text.read(PIECE)

    def _incomplete(self, info: MailInfo, missing: int) -> MailStoreError:
        if self.get(info.id) is None:
            return MailGoneError(info.id)
        return MailStoreError(
            f"the mail store {self._database.path.absolute()} is damaged: of the {info.size} bytes of mail {info.id}, "
            f"the last {missing} are missing. Restore the file from a copy, or delete that mail"
        )

    @staticmethod
    def _remove(connection: sqlite3.Connection, seq: int, size: int) -> None:
        connection.execute("DELETE FROM piece WHERE place BETWEEN ? AND ?", (seq * PIECES, (seq + 1) * PIECES - 1))
        table.remove(connection, seq, size)

    def delete(self, mail_id: str) -> bool:
        """See `MailStore.delete`."""
        with self._database.writing() as connection:
            row = connection.execute("SELECT seq, size FROM mail WHERE id = ?", (mail_id,)).fetchone()
            if row is not None:
                self._remove(connection, *row)
        return row is not None

    def prune(self, *, keep: int | None = None, older: timedelta | None = None, limit: int = PRUNED_AT_ONCE) -> int:
        """See `MailStore.prune`. The file keeps its size: later mails fill the space."""
        now = datetime.now(UTC)
        with self._database.writing() as connection:
            rows = table.prunable(connection, now, keep=keep, older=older, limit=limit)
            for seq, _, size in rows:
                self._remove(connection, seq, size)
        return len(rows)


def _insert_pieces(connection: sqlite3.Connection, seq: int, pieces: Iterable[bytes]) -> None:
    rows = ((seq * PIECES + number, piece) for number, piece in enumerate(pieces))
    connection.executemany("INSERT INTO piece (place, data) VALUES (?, ?)", rows)
