"""Mail in a Maildir, one file for each, which every mail program can read, with an index beside them.

The files hold the texts and nothing else, byte for byte as they came. All else, the envelope above all, is in an index,
a SQLite file in the same directory: lines in the text would change it, and a file beside each mail would be a second
thing to lose, without an order of the mails and without queues. To the index a file is the mail whose id is in its
name, wherever a mail program has moved it and whatever flags its name got.

A mail is written to `tmp/` and flushed; then it enters the index, and with it the store; then it moves to `new/`. Who
is killed in between leaves a whole mail in `tmp/`, which the next one to open the store moves on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from services.smtp.errors import MailGoneError, MailStoreError, MailStoreFullError
from services.smtp.mailstore import table
from services.smtp.mailstore.files import flush, make_directory, sync_directory
from services.smtp.mailstore.indexed import IndexedStore
from services.smtp.mailstore.interface import PIECE, PRUNED_AT_ONCE, MailEnvelope, MailInfo
from services.smtp.mailstore.pieces import Measured, recut

INDEX: Final = "mail-store.db"
"""The index, in the Maildir itself: mail programs only look at its directories."""

ABANDONED: Final = 36 * 3600.0
"""Seconds after which a file in `tmp/` that is in no index is nobody's any more, as Maildir has it."""

_DIRECTORIES: Final = ("tmp", "new", "cur")
"""In the order in which a mail goes through them: looked at in this order, none is missed while it moves on."""

_NAME: Final = re.compile(r"\d+\.([0-9A-Za-z]+)\.rr(?:[:,].*)?")


class MaildirStore(IndexedStore):
    """A `MailStore` in a directory on a local disk.

    A mail that a mail program removes is gone. The store forgets what it knows of it when it prunes, and counts it
    until then.

    Args:
        path: the directory.
        create: whether it is made when it does not exist.
        room: bytes that all texts may take together; None for as many as fit on the disk.
    """

    def __init__(self, path: Path, *, create: bool = True, room: int | None = None) -> None:
        super().__init__(path / INDEX, create=create)
        self._path = path
        self._create = create
        self._room = room
        self._ready = False
        self._looked_at = ""

    def open(self) -> None:
        """See `MailStore.open`."""
        with self._database.session("opened"):
            pass
        if self._create and not self._ready:
            with self._errors("opened"):
                for name in _DIRECTORIES:
                    make_directory(self._path / name)
            self._recover()
            self._ready = True

    def add(self, envelope: MailEnvelope, pieces: Iterable[bytes]) -> MailInfo:
        """See `MailStore.add`."""
        self.open()
        if (known := self._row(envelope.id)) is not None and self._completed(known):
            return known
        name, measured = _name_of(envelope), Measured(pieces)
        try:
            self._write(name, measured)
            info = measured.info(envelope)
            with self._database.writing() as connection:
                seq = table.next_seq(connection)
                table.insert(connection, seq, info)
                table.check_room(connection, self._room)
        except BaseException:
            self._unlink(self._path / "tmp" / name)
            raise
        try:
            self._publish(name)
        except MailStoreError:
            for directory in _DIRECTORIES:
                self._unlink(self._path / directory / name)
            self._forget([(seq, info.id, info.size)])
            raise
        return info

    def mails(self, *, after: str = "") -> Iterator[MailInfo]:
        """See `MailStore.mails`."""
        there: Collection[str] = ()
        for batch in table.batches(self._database, after):
            looked = False
            for info in batch:
                if info.id not in there and not looked:
                    there, looked = self._files(), True
                if info.id in there:
                    yield info

    def get(self, mail_id: str) -> MailInfo | None:
        """See `MailStore.get`."""
        info = self._row(mail_id)
        return info if info is not None and self._find(info) is not None else None

    def read(self, mail_id: str) -> Iterator[bytes]:
        """See `MailStore.read`."""
        info = self._row(mail_id)
        file = None if info is None else self._find(info)
        if info is None or file is None:
            raise MailGoneError(mail_id)
        size = 0
        with self._errors("read"), file.open("rb") as text:
            while piece := text.read(PIECE):
                size += len(piece)
                yield piece
        if size != info.size:
            raise MailStoreError(
                f"the mail store {self._path.absolute()} is damaged: {file.name} has {size} bytes, the mail {mail_id} "
                f"had {info.size}. Something else than this store wrote to it"
            )

    def delete(self, mail_id: str) -> bool:
        """See `MailStore.delete`."""
        info = self._row(mail_id)
        if info is None:
            return False
        file = self._find(info)
        if file is not None:
            self._unlink(file)
        self._forget([(table.place(info.position), info.id, info.size)])
        return file is not None

    def prune(self, *, keep: int | None = None, older: timedelta | None = None, limit: int = PRUNED_AT_ONCE) -> int:
        """See `MailStore.prune`. Some of what is left of mails that a mail program removed goes too, uncounted."""
        self._forget_removed()
        now = datetime.now(UTC)
        with self._database.session("read") as connection:
            rows = table.prunable(connection, now, keep=keep, older=older, limit=limit)
        if rows:
            there = self._files()
            for file in (there[mail_id] for _, mail_id, _ in rows if mail_id in there):
                self._unlink(Path(file))
            self._forget(rows)
        return len(rows)

    def _write(self, name: str, pieces: Iterable[bytes]) -> None:
        """Writes a file in `tmp/` and flushes it to the disk."""
        with self._errors("written"):
            file = os.open(self._path / "tmp" / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            for piece in recut(pieces):
                with self._errors("written"):
                    _write_all(file, piece)
            with self._errors("written"):
                flush(file)
        finally:
            os.close(file)

    def _publish(self, name: str) -> None:
        """Moves a mail from `tmp/` to `new/`, for good, unless another process did it."""
        with self._errors("written"):
            with contextlib.suppress(FileNotFoundError):
                (self._path / "tmp" / name).rename(self._path / "new" / name)
            sync_directory(self._path / "new")

    def _completed(self, info: MailInfo) -> bool:
        """Takes the steps of `add` that whoever added the mail may not have taken; False when its file is gone."""
        if self._find(info) is None:
            self._forget([(table.place(info.position), info.id, info.size)])
            return False
        self._publish(_name_of(info))
        with self._database.writing():  # flushes what made the mail known
            return True

    def _recover(self) -> None:
        """Moves on what others left in `tmp/`: mails that entered the index. Abandoned files go."""
        with self._errors("opened"):
            files = list((self._path / "tmp").iterdir())
        for file in files:
            match = _NAME.fullmatch(file.name)
            if match is None:
                continue
            if self._row(match[1]) is not None:
                self._publish(file.name)
            else:
                with self._errors("opened"), contextlib.suppress(FileNotFoundError):
                    if time.time() - file.stat().st_mtime > ABANDONED:
                        file.unlink()

    def _row(self, mail_id: str) -> MailInfo | None:
        with self._database.session("read") as connection:
            return table.found(self._database, connection, mail_id)

    def _find(self, info: MailInfo) -> Path | None:
        """The file of a mail, None when a mail program removed it."""
        new = self._path / "new" / _name_of(info)
        if new.exists():
            return new
        file = self._files().get(info.id)
        return None if file is None else Path(file)

    def _files(self) -> dict[str, str]:
        """The files of all mails by id, wherever they are. Strings: so many paths take several times as long."""
        found = {}
        for directory in (self._path / name for name in _DIRECTORIES):
            with self._errors("read"):
                names = os.listdir(directory)  # noqa: PTH208 - as above
            for name in names:
                if (match := _NAME.fullmatch(name)) is not None:
                    found[match[1]] = f"{directory}/{name}"
        return found

    def _forget(self, rows: Iterable[tuple[int, str, int]]) -> None:
        with self._database.writing() as connection:
            for seq, _, size in rows:
                table.remove(connection, seq, size)

    def _forget_removed(self) -> None:
        """Looks at the next mails, from where the last call stopped, for some that a mail program removed."""
        batch = list(next(table.batches(self._database, self._looked_at), ()))
        self._looked_at = batch[-1].position if len(batch) == table.BATCH else ""
        missing = [info for info in batch if not (self._path / "new" / _name_of(info)).exists()]
        for _ in range(2):  # a file whose flags change while a directory is read may be missed, hardly twice
            if missing:
                there = self._files()
                missing = [info for info in missing if info.id not in there]
        self._forget((table.place(info.position), info.id, info.size) for info in missing)

    def _unlink(self, file: Path) -> None:
        with self._errors("written"):
            file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _errors(self, purpose: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise MailStoreFullError(
                    f"the mail store {self._path} is full: {error}. Make space on its disk, or remove mails "
                    "(`python -m services.smtp prune`)"
                ) from error
            raise MailStoreError(
                f"the mail store {self._path} cannot be {purpose}: {error}. See that it is a directory on a local "
                "disk and that this user may write to it"
            ) from error


def _name_of(mail: MailEnvelope) -> str:
    """The name of a mail's file, as Maildir has it: time, what makes it unique, and a host, which the id needs not."""
    return f"{int(mail.received_at.timestamp())}.{mail.id}.rr"


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
