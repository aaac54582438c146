"""Which mails in Redis are too many or too old, and waited for by nobody."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

from services.smtp.mailstore.redis_client import RedisClient, entries, place_of
from services.smtp.mailstore.redis_queue import STREAM, groups
from services.smtp.mailstore.redis_scripts import PREFIX
from services.smtp.mailstore.stored_info import decode_info

PLACES: Final = f"{PREFIX}places"
"""A hash: where each mail is in the stream and its size, by its id."""

TIMES: Final = f"{PREFIX}times"
"""A sorted set: the ids of all mails by the seconds since the epoch when they were received."""

LOOKED_AT: Final = 10_000
"""Mails that are looked at, at most. So many that are held back, by a group that nobody serves, end a pruning early."""

_PAGE: Final = 500


def prunable(client: RedisClient, mails: int, *, keep: int | None, older: timedelta | None, limit: int) -> list[str]:
    """The ids of some mails that are too many or too old and that no group waits for, the oldest first.

    Args:
        client: runs the commands.
        mails: how many there are.
        keep: as for `MailStore.prune`; so for the others.
        older: what is older is too old.
        limit: the most ids to find.
    """
    found = dict.fromkeys(_too_many(client, mails - keep, limit) if keep is not None else ())
    if older is not None and len(found) < limit:
        found |= dict.fromkeys(_too_old(client, older, limit))
    return list(found)[:limit]


def _too_many(client: RedisClient, excess: int, limit: int) -> list[str]:
    found: list[str] = []
    place, looked_at = "0-0", 0
    end = min((seen for _, seen, _ in groups(client)), key=_order, default="+")  # some group waits for what is behind
    while len(found) < limit and looked_at < min(excess, LOOKED_AT):
        count = min(_PAGE, excess - looked_at)
        (reply,) = client.run(("XRANGE", STREAM, f"({place}", end, "COUNT", count))
        infos = [decode_info(entry.info, entry.place) for entry in entries(reply)]
        if not infos:
            break
        free = _settled(client, [info.position for info in infos])
        found += [info.id for info in infos if info.position in free]
        place, looked_at = infos[-1].position, looked_at + len(infos)
    return found[:limit]


def _too_old(client: RedisClient, older: timedelta, limit: int) -> list[str]:
    found: list[str] = []
    latest, looked_at = time.time() - older.total_seconds(), 0
    while len(found) < limit and looked_at < LOOKED_AT:
        (ids,) = client.run(("ZRANGEBYSCORE", TIMES, "-inf", f"({latest}", "LIMIT", looked_at, _PAGE))
        if not ids:
            break
        (kept,) = client.run(("HMGET", PLACES, *ids))
        places = {mail_id.decode(): place_of(value) for mail_id, value in zip(ids, kept, strict=True) if value}
        free = _settled(client, list(places.values()))
        found += [mail_id for mail_id, place in places.items() if place in free]
        looked_at += len(ids)
    return found[:limit]


def _settled(client: RedisClient, places: list[str]) -> set[str]:
    """Those of some mails that every group has settled."""
    free = set(places)
    if not free:
        return free
    first, last = min(free, key=_order), max(free, key=_order)
    for name, seen, pending in groups(client):
        free = {place for place in free if _order(place) <= _order(seen)}
        if pending:
            (rows,) = client.run(("XPENDING", STREAM, name, first, last, pending))
            free -= {place_of(row[0]) for row in rows}
    return free


def _order(place: str) -> tuple[int, int]:
    seconds, _, number = place.partition("-")
    return int(seconds), int(number)
