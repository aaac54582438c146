"""Mail in Redis or Valkey: shared by hosts, with consumer groups, one round trip per mail.

A mail is an entry of a stream, a list with the pieces of its text, and its place in the indexes by id and by time. It
enters all of them in one script, under its transaction's id: a step whose answer was lost is repeated and finds the
mail there. The pieces of a larger text are uploaded before, under a key that expires unless the script takes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import uuid
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import chain
from typing import Any, Final

from services.smtp.errors import MailGoneError, MailStoreError, NoMailStoreError
from services.smtp.mailstore import redis_queue
from services.smtp.mailstore.interface import (
    PRUNED_AT_ONCE,
    Counts,
    MailEnvelope,
    MailInfo,
    MailQueue,
    QueueStatus,
    Start,
    check_group,
    store_full,
)
from services.smtp.mailstore.pieces import Measured, recut
from services.smtp.mailstore.redis_client import RedisClient, RefusedError, entries, fields, place_of
from services.smtp.mailstore.redis_pruning import PLACES, TIMES, prunable
from services.smtp.mailstore.redis_queue import STREAM
from services.smtp.mailstore.redis_scripts import ADD, DELETE, PREFIX
from services.smtp.mailstore.stored_info import decode_info, encode_info

log = logging.getLogger(__name__)

FORMAT: Final = b"1"
"""Version of the keys. A store of another one is refused."""

BATCH: Final = 500
"""Mails that a listing reads at a time."""

UPLOAD_TTL: Final = 60
"""Seconds after its last piece that an upload is kept, which ends with the next step or never."""

DELETED_TTL: Final = 600
"""Seconds that a deleted mail's id is remembered: longer than any call is repeated."""

_UNKNOWN_QUEUE: Final = -1
"""What `DELETE` answers when there is a queue that it was not given: it was made meanwhile."""

_FORMAT: Final = f"{PREFIX}format"
_TOTAL: Final = f"{PREFIX}total"


class RedisMailStore:
    """A `MailStore` in one database of a Redis server.

    Whether an acknowledged mail outlasts a power cut is a matter of the server's settings: `appendonly yes` and
    `appendfsync always`. The store looks at them when it is opened, and warns.

    Args:
        client: the connection.
        create: whether a store that does not exist is made, or is an error.
        room: bytes that all texts may take together; None for as many as the server has memory for.
    """

    def __init__(self, client: RedisClient, *, create: bool = True, room: int | None = None) -> None:
        self._client = client
        self._create = create
        self._room = room
        self._opened = False

    def open(self) -> None:
        """See `MailStore.open`."""
        if self._opened:
            return
        (form,) = self._client.run(("GET", _FORMAT))
        if form is None and not self._create:
            raise NoMailStoreError(
                f"there is no mail store in {self._client.name}: it is made with the first connection. If mail was "
                "received, set MAIL_STORE to the service's"
            )
        if form is None:
            self._client.run(("SET", _FORMAT, FORMAT, "NX"))
            (form,) = self._client.run(("GET", _FORMAT))
        if form != FORMAT:
            raise MailStoreError(
                f"the mail store in {self._client.name} has format {form!r}, this version reads {FORMAT!r}: name "
                "another database in MAIL_STORE"
            )
        self._warn()
        self._opened = True

    def add(self, envelope: MailEnvelope, pieces: Iterable[bytes]) -> MailInfo:
        """See `MailStore.add`."""
        self.open()
        measured = Measured(pieces)
        cut = recut(measured)
        first, second = next(cut, None), next(cut, None)
        if second is None:
            return self._commit(measured.info(envelope), f"{PREFIX}upload:none", 0, *([first] if first else []))
        upload = f"{PREFIX}upload:{envelope.id}:{uuid.uuid4().hex}"
        count = 0
        try:
            for piece in chain((first or b"", second), cut):
                self._client.run(("RPUSH", upload, piece), ("EXPIRE", upload, UPLOAD_TTL))
                count += 1
            return self._commit(measured.info(envelope), upload, count)
        except BaseException:
            with contextlib.suppress(MailStoreError):
                self._client.run(("UNLINK", upload))  # else it goes with its time
            raise

    def mails(self, *, after: str = "") -> Iterator[MailInfo]:
        """See `MailStore.mails`."""
        self.open()
        place = after or "0-0"
        while infos := self._listed(place):
            yield from infos
            place = infos[-1].position

    def last_position(self) -> str:
        """See `MailStore.last_position`."""
        self.open()
        try:
            (reply,) = self._client.run(("XINFO", "STREAM", STREAM))
        except RefusedError as error:
            if "no such key" in error.reply:
                return ""
            raise
        last: str = fields(reply)["last-generated-id"].decode()
        return "" if last == "0-0" else last

    def get(self, mail_id: str) -> MailInfo | None:
        """See `MailStore.get`."""
        self.open()
        (kept,) = self._client.run(("HGET", PLACES, mail_id))
        if kept is None:
            return None
        place = place_of(kept)
        (reply,) = self._client.run(("XRANGE", STREAM, place, place))
        return next(iter(_infos(reply)), None)

    def read(self, mail_id: str) -> Iterator[bytes]:
        """See `MailStore.read`. One round trip per piece."""
        info = self.get(mail_id)
        if info is None:
            raise MailGoneError(mail_id)
        rest, number = info.size, 0
        while rest > 0:
            (piece,) = self._client.run(("LINDEX", _text_key(mail_id), number))
            if not piece:
                raise self._incomplete(info, rest)
            rest -= len(piece)
            number += 1
            yield piece

    def delete(self, mail_id: str) -> bool:
        """See `MailStore.delete`."""
        self.open()
        keys = (STREAM, PLACES, TIMES, _TOTAL, _text_key(mail_id), _deleted_key(mail_id))
        deleted = _UNKNOWN_QUEUE
        while deleted == _UNKNOWN_QUEUE:
            queues = [name for name, _, _ in redis_queue.groups(self._client)]
            queue_keys = [key for name in queues for key in redis_queue.queue_keys(name)]
            deleted = self._client.repeatable(DELETE, (*keys, *queue_keys), (mail_id, DELETED_TTL, *queues))
        return bool(deleted == 1)

    def prune(self, *, keep: int | None = None, older: timedelta | None = None, limit: int = PRUNED_AT_ONCE) -> int:
        """See `MailStore.prune`. Mails that groups hold back are passed over, `LOOKED_AT` of them at most."""
        self.open()
        found = prunable(self._client, self.count().mails, keep=keep, older=older, limit=limit)
        return sum(self.delete(mail_id) for mail_id in found)

    def count(self) -> Counts:
        """See `MailStore.count`."""
        self.open()
        ((mails, size),) = self._client.run(("HMGET", _TOTAL, "mails", "size"))
        return Counts(int(mails or 0), int(size or 0))

    def queue(self, group: str, *, start: Start = "new") -> MailQueue:
        """See `MailStore.queue`."""
        check_group(group)
        return redis_queue.RedisQueue(self._client, group, start=start)

    def queues(self) -> list[QueueStatus]:
        """See `MailStore.queues`."""
        return redis_queue.statuses(self._client)

    def drop_queue(self, group: str) -> bool:
        """See `MailStore.drop_queue`."""
        return redis_queue.drop(self._client, group)

    def close(self) -> None:
        """See `MailStore.close`."""
        self._client.close()
        self._opened = False

    def _commit(self, info: MailInfo, upload: str, pieces: int, *piece: bytes) -> MailInfo:
        """Enters a mail whose pieces were uploaded, or whose only piece is given."""
        keys = (STREAM, PLACES, TIMES, _TOTAL, _text_key(info.id), upload, _deleted_key(info.id))
        args = (info.id, encode_info(info), info.size, info.received_at.timestamp(), self._room or 0, pieces, *piece)
        try:
            added, place = self._client.repeatable(ADD, keys, args, replicated=True)
        except RefusedError as error:
            raise self._not_added(error) from None
        if not added and (known := self.get(info.id)) is not None:
            return known
        return dataclasses.replace(info, position=place_of(place))

    def _not_added(self, error: RefusedError) -> MailStoreError:
        match error.reply.split(" ")[0]:
            case "FULL":
                return store_full(self._room or 0)
            case "LOST":
                return MailStoreError(
                    f"the mail store, {self._client.name}, lost pieces of a mail while it was stored. See that the "
                    "server evicts nothing (maxmemory-policy noeviction) and that nothing else writes to it"
                )
        return error

    def _listed(self, place: str) -> list[MailInfo]:
        (reply,) = self._client.run(("XRANGE", STREAM, f"({place}", "+", "COUNT", BATCH))
        return _infos(reply)

    def _incomplete(self, info: MailInfo, missing: int) -> MailStoreError:
        if self.get(info.id) is None:
            return MailGoneError(info.id)
        return MailStoreError(
            f"the mail store, {self._client.name}, is damaged: of the {info.size} bytes of mail {info.id}, the last "
            f"{missing} are missing. Something else writes to it, or the server evicts keys; delete that mail"
        )

    def _warn(self) -> None:
        """Says what settings of the server endanger acknowledged mail, once for each object."""
        if not self._create:
            return  # somebody reads
        settings = self._client.settings("appendonly", "appendfsync", "maxmemory-policy", "maxmemory")
        for warning in endangers(settings):
            log.warning("the mail store, %s: %s", self._client.name, warning)


def endangers(settings: dict[str, str] | None) -> list[str]:
    """What in a server's settings lets acknowledged mail be lost; None for settings that it does not tell."""
    if settings is None:
        unknown = (
            "it does not tell its settings (CONFIG GET). See that they are appendonly yes, appendfsync always and "
            "maxmemory-policy noeviction: else acknowledged mail can be lost"
        )
        return [unknown]
    warnings = []
    if settings.get("appendonly") != "yes":
        warnings.append("acknowledged mail is lost when the server ends: give it appendonly yes, appendfsync always")
    elif settings.get("appendfsync") != "always":
        warnings.append("the mail of the last second or more can be lost in a power cut: give it appendfsync always")
    if settings.get("maxmemory-policy") != "noeviction" and settings.get("maxmemory") != "0":
        warnings.append("it may drop mail when its memory is full: give it maxmemory-policy noeviction")
    return warnings


def _text_key(mail_id: str) -> str:
    return f"{PREFIX}text:{mail_id}"


def _deleted_key(mail_id: str) -> str:
    return f"{PREFIX}deleted:{mail_id}"


def _infos(reply: Any) -> list[MailInfo]:
    return [decode_info(entry.info, entry.place) for entry in entries(reply)]
