"""Queues in the tables of a SQLite file.

A group of consumers has a place in the order of the mails: what comes after it was never handed out. What came before
is settled, unless `handed_out` has it, with the time from which on it is due again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Final

from services.smtp.mailstore import table
from services.smtp.mailstore.database import Database
from services.smtp.mailstore.interface import LEASE, Claim, QueueStatus, Start

_DUE: Final = f"""
SELECT {table.COLUMNS}, attempts, progress FROM handed_out JOIN mail ON seq = mail
WHERE consumers = ? AND due <= ? ORDER BY seq LIMIT ?
"""  # noqa: S608 - constants

_UNSEEN: Final = f"""
SELECT {table.COLUMNS}, 0, x'' FROM mail
WHERE seq > (SELECT seen FROM consumers WHERE name = ?) ORDER BY seq LIMIT ?
"""  # noqa: S608 - constants

_LEASE: Final = """
INSERT INTO handed_out (consumers, mail, due, attempts, progress) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET due = excluded.due, attempts = excluded.attempts
"""

_REGISTER: Final = """
INSERT INTO consumers (name, seen) SELECT ?, iif(?, last, 0) FROM total WHERE true ON CONFLICT DO NOTHING
"""

_STATUS: Final = """
SELECT name,
    (SELECT count(*) FROM mail WHERE seq > seen),
    (SELECT count(*) FROM handed_out WHERE consumers = name)
FROM consumers ORDER BY name
"""


class TableQueue:
    """A `MailQueue` of a store that keeps its mails in these tables.

    Args:
        database: the store's.
        group: the name of the group of consumers.
        start: what a new group begins with.
        clock: seconds since the epoch, the same for all processes.
    """

    def __init__(
        self, database: Database, group: str, *, start: Start = "new", clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._group = group
        self._start = start
        self._clock = clock

    def open(self) -> None:
        """See `MailQueue.open`."""
        with self._database.writing() as connection:
            self._register(connection)

    def claim(self, limit: int = 1, *, lease: float = LEASE) -> list[Claim]:
        """See `MailQueue.claim`."""
        with self._database.session("read") as connection:  # an idle consumer asks often, and writes nothing
            known = connection.execute("SELECT 1 FROM consumers WHERE name = ?", (self._group,)).fetchone()
            if known and not self._due(connection, limit):
                return []
        with self._database.writing() as connection:
            self._register(connection)
            claims = self._due(connection, limit)
            self._hand_out(connection, claims, self._clock() + lease)
        return claims

    def renew(self, claim: Claim, *, lease: float = LEASE, progress: bytes | None = None) -> bool:
        """See `MailQueue.renew`."""
        return self._put_off(claim, lease, progress)

    def postpone(self, claim: Claim, delay: float, *, progress: bytes) -> bool:
        """See `MailQueue.postpone`."""
        return self._put_off(claim, delay, progress)

    def settle(self, claim: Claim) -> None:
        """See `MailQueue.settle`."""
        with self._database.writing() as connection:
            query = "DELETE FROM handed_out WHERE consumers = ? AND mail = ?"
            connection.execute(query, (self._group, table.place(claim.info.position)))

    def _register(self, connection: sqlite3.Connection) -> None:
        connection.execute(_REGISTER, (self._group, self._start == "new"))

    def _due(self, connection: sqlite3.Connection, limit: int) -> list[Claim]:
        """What `claim` would give. What was handed out before comes first: it is older than what never was."""
        rows = connection.execute(_DUE, (self._group, self._clock(), limit)).fetchall()
        if len(rows) < limit:
            rows += connection.execute(_UNSEEN, (self._group, limit - len(rows))).fetchall()
        return [Claim(table.info_of(self._database.path, row), attempts + 1, data) for *row, attempts, data in rows]

    def _hand_out(self, connection: sqlite3.Connection, claims: list[Claim], until: float) -> None:
        for claim in claims:
            seq = table.place(claim.info.position)
            connection.execute(_LEASE, (self._group, seq, until, claim.attempts, claim.progress))
        if claims:
            last = table.place(claims[-1].info.position)
            connection.execute("UPDATE consumers SET seen = max(seen, ?) WHERE name = ?", (last, self._group))

    def _put_off(self, claim: Claim, seconds: float, progress: bytes | None) -> bool:
        """Sets the time from which on a claimed mail is due, unless somebody has claimed or settled it since."""
        query = (
            "UPDATE handed_out SET due = ?, progress = coalesce(?, progress) "
            "WHERE consumers = ? AND mail = ? AND attempts = ?"
        )
        row = (self._clock() + seconds, progress, self._group, table.place(claim.info.position), claim.attempts)
        with self._database.writing() as connection:
            return connection.execute(query, row).rowcount == 1


def statuses(connection: sqlite3.Connection) -> list[QueueStatus]:
    """All groups, by name."""
    return [QueueStatus(*row) for row in connection.execute(_STATUS)]


def drop(connection: sqlite3.Connection, group: str) -> bool:
    """Forgets a group."""
    connection.execute("DELETE FROM handed_out WHERE consumers = ?", (group,))
    return connection.execute("DELETE FROM consumers WHERE name = ?", (group,)).rowcount == 1
