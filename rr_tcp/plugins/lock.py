"""RoadRunner's locks (lock v5.1.9): named resources that one owner holds at a time, in the memory of one server.

An owner is any text that nobody else uses, such as a new UUID. Locks are not re-entrant: an owner that locks again
waits for itself. Every lock has a time to live, for a worker may end before it can release.

`Locks.lock_read` is not safe in this version of the server, whatever the client does:

- Where an exclusive lock was released before, the next one is granted while readers still hold the resource.
- An exclusive lock that waits for two readers keeps them from releasing, and when its wait is over, nobody can lock or
  release that resource until the server is started again.

Use exclusive locks alone, above all on one resource.
"""

from __future__ import annotations

import contextlib
import math
import uuid
from collections.abc import Iterator
from typing import Final

from rr_tcp.errors import CodecError, ConfigurationError, LockLostError, LockNotAcquiredError
from rr_tcp.protobuf import decode_fields, encode_field
from rr_tcp.rpc import RPC, Codec

MAX_TTL: Final = 10.0**9
"""Seconds, some thirty years. Beyond nine times that the server's clock overflows, which ends the server."""

ANSWER_TIME: Final = 0.5
"""Seconds of the client's timeout that a wait leaves for the answer."""

# lock.v1beta1: Request{1 resource, 2 id, 3 ttl, 4 wait}, times in microseconds; Response{1 ok}
_RESOURCE, _ID, _TTL, _WAIT = 1, 2, 3, 4
_OK = 1

_ANYBODY: Final = "*"
_FOR_EVER: Final = 0  # a year, to be exact
_BUSY_WAIT: Final = 1.0  # seconds for the server's own mutexes, of which it would wait 1 ms by default


class Locks:
    """The locks of one server.

    Every method raises `RPCError` when the call fails, `RPCServiceError` for an owner without a character, and
    `CodecError` when the answer cannot be read.

    Args:
        rpc: the connection to RoadRunner. Its timeout bounds how long a lock can be waited for.
    """

    def __init__(self, rpc: RPC) -> None:
        self._rpc = rpc

    @contextlib.contextmanager
    def held(self, resource: str, *, ttl: float, wait: float = 0.0) -> Iterator[str]:
        """Holds a resource exclusively during a `with` block, whose variable is the owner, for `update_ttl`.

        Args:
            resource: the name of what is locked.
            ttl: seconds after which the lock ends by itself; longer than the block may take.
            wait: as of `lock`.

        Raises:
            LockNotAcquiredError: the resource was not free; the block was not entered.
            LockLostError: the block ended well, but the lock had ended before, by its time to live or `force_release`.
            ConfigurationError: as of `lock`.
        """
        owner = str(uuid.uuid4())
        if not self.lock(resource, owner, ttl=ttl, wait=wait):
            raise LockNotAcquiredError(f"{resource!r} is locked by somebody else, after a wait of {wait:g} s")
        try:
            yield owner
        finally:
            released = self.release(resource, owner)
        if not released:
            raise LockLostError(f"the lock on {resource!r} ended before it was released: is {ttl:g} s too short?")

    def lock(self, resource: str, owner: str, *, ttl: float | None, wait: float = 0.0) -> bool:
        """Locks a resource exclusively.

        Args:
            resource: the name of what is locked.
            owner: who holds it then.
            ttl: seconds after which the lock ends by itself. None for a year, if nobody releases it.
            wait: seconds to wait for a resource that is not free, `ANSWER_TIME` less than the client's timeout at most;
                0 for one millisecond.

        Returns:
            Whether the owner holds the resource now.

        Raises:
            ConfigurationError: a time out of range.
            RPCTransportError: the call failed, after which the lock may be held until its time to live is over.
        """
        return self._call("lock.Lock", resource, owner, _ttl_us(ttl), self._wait_us(wait))

    def lock_read(self, resource: str, owner: str, *, ttl: float | None, wait: float = 0.0) -> bool:
        """Locks a resource for reading, which many owners may do: read the warning at the top of this module.

        Arguments, result and errors are those of `lock`.
        """
        return self._call("lock.LockRead", resource, owner, _ttl_us(ttl), self._wait_us(wait))

    def release(self, resource: str, owner: str) -> bool:
        """Ends an owner's lock; the resource is free a moment after the answer.

        Returns:
            False if the owner does not hold it (any more).
        """
        return self._call("lock.Release", resource, owner)

    def force_release(self, resource: str) -> bool:
        """Ends all locks of a resource, whoever holds them; they are not told.

        Returns:
            False if the resource was never locked.
        """
        return self._call("lock.ForceRelease", resource)

    def exists(self, resource: str, owner: str = _ANYBODY) -> bool:
        """Whether an owner holds a resource; by default whether anybody does."""
        return self._call("lock.Exists", resource, owner)

    def update_ttl(self, resource: str, owner: str, ttl: float | None) -> bool:
        """Gives a lock a new time to live, from now on.

        Args:
            resource: the name of what is locked.
            owner: who holds it.
            ttl: as of `lock`.

        Returns:
            False if the owner does not hold it.

        Raises:
            ConfigurationError: the time is out of range.
        """
        return self._call("lock.UpdateTTL", resource, owner, _ttl_us(ttl))

    def _wait_us(self, wait: float) -> int:
        limit = max(0.0, self._rpc.timeout - ANSWER_TIME)
        if not 0.0 <= wait <= limit:
            raise ConfigurationError(
                f"a wait for a lock is 0 to {limit:g} s with this client, not {wait:g}: an RPC with a timeout above "
                f"{self._rpc.timeout:g} s can wait longer"
            )
        return math.ceil(wait * 1e6)

    def _call(self, method: str, resource: str, owner: str = "", ttl: int = 0, wait: int | None = None) -> bool:
        if wait is None:
            wait = round(min(_BUSY_WAIT, self._rpc.timeout / 2) * 1e6)
        request = (
            encode_field(_RESOURCE, resource),
            encode_field(_ID, owner),
            encode_field(_TTL, ttl),
            encode_field(_WAIT, wait),
        )
        fields = dict(decode_fields(self._rpc.call(method, b"".join(request), Codec.PROTO)))
        match fields.get(_OK, 0):
            case int(ok):
                return bool(ok)
            case _:
                raise CodecError(f"RoadRunner answered {method} with bytes where a truth value belongs")


def _ttl_us(ttl: float | None) -> int:
    if ttl is None:
        return _FOR_EVER
    if not 0.0 < ttl <= MAX_TTL:
        raise ConfigurationError(f"a time to live of a lock is above 0 and up to {MAX_TTL:g} seconds, not {ttl:g}")
    return math.ceil(ttl * 1e6)  # never 0, which would be for ever
