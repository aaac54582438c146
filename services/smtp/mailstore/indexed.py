"""What the SQLite store and the Maildir store have in common: all but the texts is in the same tables."""

from __future__ import annotations

from pathlib import Path

from services.smtp.mailstore import table, table_queue
from services.smtp.mailstore.database import Database
from services.smtp.mailstore.interface import Counts, MailQueue, QueueStatus, Start, check_group


class IndexedStore:
    """The part of a `MailStore` that needs no text.

    Args:
        database: the path of the SQLite file with the tables.
        create: whether it is made when it does not exist, with its directory.
    """

    def __init__(self, database: Path, *, create: bool) -> None:
        self._database = Database(database, create=create)

    def last_position(self) -> str:
        """See `MailStore.last_position`."""
        with self._database.session("read") as connection:
            return table.last_position(connection)

    def count(self) -> Counts:
        """See `MailStore.count`."""
        with self._database.session("read") as connection:
            return table.counts(connection)

    def queue(self, group: str, *, start: Start = "new") -> MailQueue:
        """See `MailStore.queue`."""
        check_group(group)
        return table_queue.TableQueue(self._database, group, start=start)

    def queues(self) -> list[QueueStatus]:
        """See `MailStore.queues`."""
        with self._database.session("read") as connection:
            return table_queue.statuses(connection)

    def drop_queue(self, group: str) -> bool:
        """See `MailStore.drop_queue`."""
        with self._database.writing() as connection:
            return table_queue.drop(connection, group)

    def close(self) -> None:
        """See `MailStore.close`."""
        self._database.close()
