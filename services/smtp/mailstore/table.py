"""Mails in the tables of a SQLite file, without their texts: what the SQLite and the Maildir store share."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from services.smtp.errors import MailStoreError
from services.smtp.mailstore.database import Database
from services.smtp.mailstore.interface import Counts, MailInfo, store_full

BATCH: Final = 1000
"""Mails that a listing reads at a time: no read goes on while they are printed, for as long as one goes on the log only
grows."""

PRUNED_SIZE: Final = 64 * 1024 * 1024
"""Bytes of text that a pruning removes at most at a time, unless a single mail has more."""

COLUMNS: Final = "id, mail_from, rcpt_tos, size, received_at, peer, sha256, helo, mail_options, rcpt_options, more, seq"
"""What `info_of` takes."""

_INSERT: Final = f"INSERT INTO mail ({COLUMNS}, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants

# A process of version 1 that has the file open since before it was migrated takes places without telling `total`.
_NEXT_SEQ: Final = "SELECT 1 + max(last, (SELECT coalesce(max(seq), 0) FROM mail)) FROM total"

_INSERT_NEXT: Final = (
    f"INSERT INTO mail ({COLUMNS}, content) "  # noqa: S608 - constants
    f"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ({_NEXT_SEQ}), ?) ON CONFLICT (id) DO NOTHING"
)


_TOO_MANY: Final = """
SELECT * FROM (SELECT seq, id, size FROM mail WHERE seq <= ? ORDER BY seq LIMIT ?)
WHERE seq NOT IN (SELECT mail FROM handed_out) LIMIT ?
"""

_TOO_OLD: Final = """
SELECT seq, id, size FROM mail WHERE received_at < ? AND seq <= ? AND seq NOT IN (SELECT mail FROM handed_out)
ORDER BY received_at LIMIT ?
"""

_LAST: Final = (1 << 63) - 1
"""No mail comes after this place."""


class _More(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What the first version of the table has no column for. Every field has the default that its mails get."""

    protocol: str = "ESMTP"


def batches(database: Database, after: str) -> Iterator[Iterator[MailInfo]]:
    """The mails that were stored after a position, in order, some at a time; no read goes on in between.

    A damaged one is an error when it is its turn, of its batch too.
    """
    query = f"SELECT {COLUMNS} FROM mail WHERE seq > ? ORDER BY seq LIMIT {BATCH}"  # noqa: S608 - constants
    last = place(after)
    while True:
        with database.session("read") as connection:
            rows = connection.execute(query, (last,)).fetchall()
        if rows:
            yield (info_of(database.path, row) for row in rows)
            last = rows[-1][-1]
        if len(rows) < BATCH:
            return


def found(database: Database, connection: sqlite3.Connection, mail_id: str) -> MailInfo | None:
    """One mail by its id."""
    row = connection.execute(f"SELECT {COLUMNS} FROM mail WHERE id = ?", (mail_id,)).fetchone()  # noqa: S608 - constants
    return None if row is None else info_of(database.path, row)


def next_seq(connection: sqlite3.Connection) -> int:
    """A place for a new mail, which no mail ever had, once `insert` took it in the same transaction."""
    [seq] = connection.execute(_NEXT_SEQ).fetchone()
    return int(seq)


def insert(connection: sqlite3.Connection, seq: int, info: MailInfo) -> None:
    """Adds a mail in its place, whose text is kept elsewhere.

    Args:
        connection: in the transaction in which `next_seq` gave the place.
        seq: the place.
        info: the mail.
    """
    connection.execute(_INSERT, (*_values(info), seq, b""))
    _count(connection, seq, info)


def insert_next(connection: sqlite3.Connection, info: MailInfo, content: bytes) -> bool:
    """Adds a mail with its text in the next place, unless there is one of that id: then False, and nothing changed."""
    cursor = connection.execute(_INSERT_NEXT, (*_values(info), content))
    if cursor.rowcount == 0:
        return False
    _count(connection, cursor.lastrowid, info)
    return True


def _count(connection: sqlite3.Connection, seq: int | None, info: MailInfo) -> None:
    connection.execute("UPDATE total SET last = ?, mails = mails + 1, size = size + ?", (seq, info.size))


def _values(info: MailInfo) -> tuple[str | int, ...]:
    """The first of the `COLUMNS`: all but the place."""
    return (
        info.id,
        info.mail_from,
        _json_array(info.rcpt_tos),
        info.size,
        stamp(info.received_at),
        info.peer,
        info.sha256,
        info.helo,
        _json_array(info.mail_options),
        _json_array(info.rcpt_options),
        _more(info.protocol),
    )


def check_room(connection: sqlite3.Connection, room: int | None) -> None:
    """Raises `MailStoreFullError` when there is more than there may be."""
    if room is not None and counts(connection).size > room:
        raise store_full(room)


def remove(connection: sqlite3.Connection, seq: int, size: int) -> None:
    """Removes a mail, from all queues too; not its text. Does nothing where another process did it already."""
    if connection.execute("DELETE FROM mail WHERE seq = ?", (seq,)).rowcount == 1:
        connection.execute("DELETE FROM handed_out WHERE mail = ?", (seq,))
        connection.execute("UPDATE total SET mails = mails - 1, size = size - ?", (size,))


def last_position(connection: sqlite3.Connection) -> str:
    """Where the last mail was stored; "" before the first one."""
    [last] = connection.execute("SELECT last FROM total").fetchone()
    return str(last or "")


def counts(connection: sqlite3.Connection) -> Counts:
    """How much there is."""
    return Counts(*connection.execute("SELECT mails, size FROM total").fetchone())


def prunable(
    connection: sqlite3.Connection, now: datetime, *, keep: int | None, older: timedelta | None, limit: int
) -> list[tuple[int, str, int]]:
    """Place, id and size of the oldest mails that are too many or too old and that no group waits for.

    No more than `limit`, and no more than take `PRUNED_SIZE` together: their pages have to be freed one by one.
    """
    first, seen = connection.execute("SELECT (SELECT min(seq) FROM mail), (SELECT min(seen) FROM consumers)").fetchone()
    if first is None or (seen is not None and first > seen):
        return []
    seen = _LAST if seen is None else seen
    found = set[tuple[int, str, int]]()
    if keep is not None:
        found.update(connection.execute(_TOO_MANY, (seen, max(counts(connection).mails - keep, 0), limit)))
    if older is not None:
        found.update(connection.execute(_TOO_OLD, (stamp(now - older), seen, limit)))
    rows, size = list[tuple[int, str, int]](), 0
    for row in sorted(found)[:limit]:
        if rows and size + row[2] > PRUNED_SIZE:
            break
        rows.append(row)
        size += row[2]
    return rows


def place(position: str) -> int:
    """The place that a `MailInfo.position` names; 0 for "".

    Raises:
        MailStoreError: it is another store's.
    """
    if position and not (position.isascii() and position.isdecimal()):
        raise MailStoreError(f"{position!r} is no position of a mail in this store")
    return int(position or "0")


def stamp(time: datetime) -> str:
    """A time as text that sorts as times do."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def info_of(path: Path, row: Sequence[Any]) -> MailInfo:
    """A mail from its `COLUMNS`; `MailStoreError` when they are damaged."""
    mail_id, mail_from, rcpt_tos, size, received_at, peer, sha256, helo, mail_options, rcpt_options, more, seq = row
    try:
        return MailInfo(
            id=mail_id,
            mail_from=mail_from,
            rcpt_tos=_strings(rcpt_tos),
            received_at=datetime.fromisoformat(received_at),
            peer=peer,
            helo=helo,
            protocol=msgspec.json.decode(more, type=_More).protocol,
            mail_options=_strings(mail_options),
            rcpt_options=_strings(rcpt_options),
            size=size,
            sha256=sha256,
            position=str(seq),
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise MailStoreError(
            f"the mail store {path.absolute()} is damaged at mail {mail_id}: {error}. Restore the file from "
            "a copy, or delete that row"
        ) from error


def _json_array(values: tuple[str, ...]) -> str:
    return msgspec.json.encode(values).decode() if values else "[]"


@functools.cache  # there are few protocols
def _more(protocol: str) -> str:
    return msgspec.json.encode(_More(protocol)).decode()


def _strings(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])
