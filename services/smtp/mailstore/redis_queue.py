"""Queues on a Redis stream: a consumer group, and the time from which on each mail that it was given is due again.

The group knows what was never handed out (its last delivered id) and what is not settled (its pending entries). Leases
and delays have times of their own, a sorted set, since a pending entry only knows how long it has been idle.
"""

from __future__ import annotations

from typing import Final

from services.smtp.mailstore.interface import LEASE, Claim, QueueStatus, Start
from services.smtp.mailstore.redis_client import RedisClient, RefusedError, entries, fields, place_of
from services.smtp.mailstore.redis_scripts import CLAIM, DROP, PREFIX, PUT_OFF, SETTLE
from services.smtp.mailstore.stored_info import decode_info

STREAM: Final = f"{PREFIX}stream"
"""One entry for each mail: `id` and `info`, in this order."""

_CONSUMER: Final = "consumer"
"""All consumers of a group have one name: a claim is known by the number of its attempt, and names would pile up."""

_SORTED: Final = 1000
"""Due mails of which a claim takes the oldest; were more due at once, it takes the oldest of those that are due the
longest."""

_COUNTED: Final = 10_000
"""Entries that are counted per call."""


class RedisQueue:
    """A `MailQueue` of the store in Redis.

    Args:
        client: runs the commands.
        group: the name of the group of consumers.
        start: what a new group begins with.
    """

    def __init__(self, client: RedisClient, group: str, *, start: Start = "new") -> None:
        self._client = client
        self._group = group
        self._start = start

    def open(self) -> None:
        """See `MailQueue.open`."""
        begin = "$" if self._start == "new" else "0"
        try:
            self._client.run(("XGROUP", "CREATE", STREAM, self._group, begin, "MKSTREAM"))
        except RefusedError as error:
            if not error.reply.startswith("BUSYGROUP"):  # it is there already
                raise

    def claim(self, limit: int = 1, *, lease: float = LEASE) -> list[Claim]:
        """See `MailQueue.claim`."""
        keys = (STREAM, *queue_keys(self._group))
        args = (self._group, _CONSUMER, limit, _milliseconds(lease), _SORTED)
        try:
            claims = self._client.script(CLAIM, keys, args)
        except RefusedError as error:
            if "NOGROUP" not in error.reply:
                raise
            self.open()
            claims = self._client.script(CLAIM, keys, args)
        return [Claim(decode_info(info, place_of(place)), attempts, data) for place, info, attempts, data in claims]

    def renew(self, claim: Claim, *, lease: float = LEASE, progress: bytes | None = None) -> bool:
        """See `MailQueue.renew`."""
        return self._put_off(claim, lease, progress)

    def postpone(self, claim: Claim, delay: float, *, progress: bytes) -> bool:
        """See `MailQueue.postpone`."""
        return self._put_off(claim, delay, progress)

    def settle(self, claim: Claim) -> None:
        """See `MailQueue.settle`."""
        self._client.repeatable(SETTLE, (STREAM, *queue_keys(self._group)), (self._group, claim.info.position))

    def _put_off(self, claim: Claim, seconds: float, progress: bytes | None) -> bool:
        args = (claim.info.position, claim.attempts, _milliseconds(seconds))
        more = () if progress is None else (progress,)
        return bool(self._client.script(PUT_OFF, queue_keys(self._group), (*args, *more)) == 1)


def groups(client: RedisClient) -> list[tuple[str, str, int]]:
    """The groups: name, where the last mail that was handed out stands, and how many are not settled."""
    try:
        (found,) = client.run(("XINFO", "GROUPS", STREAM))
    except RefusedError as error:
        if "no such key" in error.reply:
            return []
        raise
    rows = [fields(group) for group in found]
    return sorted((row["name"].decode(), row["last-delivered-id"].decode(), int(row["pending"])) for row in rows)


def statuses(client: RedisClient) -> list[QueueStatus]:
    """All groups, by name."""
    return [QueueStatus(name, _count_after(client, last), pending) for name, last, pending in groups(client)]


def drop(client: RedisClient, group: str) -> bool:
    """Forgets a group."""
    if group not in {name for name, _, _ in groups(client)}:
        return False
    return bool(client.script(DROP, (STREAM, *queue_keys(group)), (group,)) == 1)


def queue_keys(group: str) -> tuple[str, str, str]:
    """A group's keys beside the stream: when its mails are due, how often each was claimed, how far each is."""
    return f"{PREFIX}due:{group}", f"{PREFIX}attempts:{group}", f"{PREFIX}progress:{group}"


def _count_after(client: RedisClient, place: str) -> int:
    count = 0
    while True:
        (found,) = client.run(("XRANGE", STREAM, f"({place}", "+", "COUNT", _COUNTED))
        count += len(found)
        if len(found) < _COUNTED:
            return count
        place = entries(found[-1:])[0].place


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
