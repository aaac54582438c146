"""Connections of clients in Redis: for each client a sorted set and a counter, in one slot of a Redis Cluster.

rr-tcp:client:{client}:open     its open connections by the time when each was counted, or seen to be open
rr-tcp:client:{client}:minute   the connections of its minute; expires with it
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rr_tcp.admission import CHECKS, COUNTED, UNCHECKED, WINDOW, Verdict
from rr_tcp.redis_client import RedisClient

PREFIX: Final = "rr-tcp:client:"

_ADMIT: Final = """
-- Counts a connection; returns 'admitted', 'often', or 'many' and the open ones to look at.
-- KEYS: open, minute
-- ARGV: connection, most open (0: any), most in a minute (0: any, or counted before), the minute in milliseconds,
--   time to live of the open ones in milliseconds, now, time up to which they are looked at, how many
local most, often = tonumber(ARGV[2]), tonumber(ARGV[3])
if often > 0 then
    local count = redis.call('INCR', KEYS[2])
    if count == 1 then
        redis.call('PEXPIRE', KEYS[2], ARGV[4])
    end
    if count > often then
        return {'often'}
    end
end
if most > 0 then
    if redis.call('ZCARD', KEYS[1]) >= most then
        return {'many', unpack(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[7], 'LIMIT', 0, ARGV[8]))}
    end
    redis.call('ZADD', KEYS[1], ARGV[6], ARGV[1])
    redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
return {'admitted'}
"""


class RedisClients:
    """Counts in Redis. What is looked at when a client has too many is read first, and then changed in one step.

    Args:
        client: the line to Redis.
        clock: the store's.
        is_open: whether the session of a connection is there and not ended.
    """

    def __init__(self, client: RedisClient, clock: Callable[[], float], is_open: Callable[[str], bool]) -> None:
        self._client = client
        self._clock = clock
        self._is_open = is_open

    def admit(self, client: str, key: str, *, connections: int | None, per_minute: int | None) -> Verdict:
        """See `ClientStore.admit`."""
        verdict, due = self._try(client, key, connections, per_minute)
        if due and self._check(client, due):
            verdict, _ = self._try(client, key, connections, None)
        return verdict

    def leave(self, client: str, key: str) -> None:
        """See `ClientStore.leave`."""
        self._client.run(("ZREM", _open(client), key), key=_open(client))

    def _try(self, client: str, key: str, connections: int | None, per_minute: int | None) -> tuple[Verdict, list[str]]:
        now = self._clock()
        args = (
            key,
            connections or 0,
            per_minute or 0,
            round(WINDOW * 1000),
            round(COUNTED * 1000),
            now,
            now - UNCHECKED,
            CHECKS,
        )
        word, *due = self._client.script(_ADMIT, [_open(client), f"{PREFIX}{{{client}}}:minute"], args)
        match word:
            case b"admitted":
                return Verdict.ADMITTED, []
            case b"often":
                return Verdict.TOO_OFTEN, []
            case _:
                return Verdict.TOO_MANY, [name.decode() for name in due]

    def _check(self, client: str, due: list[str]) -> bool:
        """Forgets the connections among these whose session is over; returns whether there was one."""
        now, open_set = self._clock(), _open(client)
        alive = {key: self._is_open(key) for key in due}
        changes = [("ZADD", open_set, "XX", now, key) if alive[key] else ("ZREM", open_set, key) for key in due]
        self._client.run(*changes, key=open_set)
        return not all(alive.values())


def _open(client: str) -> str:
    return f"{PREFIX}{{{client}}}:open"
