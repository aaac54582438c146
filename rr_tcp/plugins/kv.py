"""RoadRunner's key-value storages (kv v5.2.9): `kv.<storage>` in .rr.yaml, in its memory or in another program.

There is no compare-and-set, increment or listing: read, change and write back only keys that one connection owns, whose
events RoadRunner never runs at the same time. In the memory driver, setting a key that exists removes it first, so that
another reader may miss it for a moment; the owner of the key never does.

`kv.MExpire` is missing on purpose: in memory v5.2.9 it makes ghosts of missing keys, replaces values, and a time in the
past ends the whole server. Set the value again to give it a new time to live.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from rr_tcp.errors import CodecError, ConfigurationError
from rr_tcp.protobuf import decode_fields, encode_field
from rr_tcp.rpc import RPC, Codec

MIN_TTL: Final = 2.0
"""Seconds. The server counts whole seconds down to none, and stores a key with none left without any expiry."""

MAX_TTL: Final = 10.0**9
"""Seconds, some thirty years: times stay within what both sides' calendars know."""

# kv.v1: Request{1 storage, 2 repeated Item}, Response{1 repeated Item}, Item{1 key, 2 value, 3 timeout (RFC 3339)}
_STORAGE, _REQUEST_ITEM, _RESPONSE_ITEM = 1, 2, 1
_KEY, _VALUE, _TIMEOUT = 1, 2, 3


class KV:
    """One storage.

    Every method raises `RPCError` when the call fails (`RPCServiceError` for an unknown storage) and `CodecError` when
    the answer cannot be read.

    Args:
        rpc: the connection to RoadRunner.
        storage: its name in the section `kv` of .rr.yaml.
        clock: seconds since the epoch, as the server has it.
    """

    def __init__(self, rpc: RPC, storage: str, *, clock: Callable[[], float] = time.time) -> None:
        self._rpc = rpc
        self._storage = encode_field(_STORAGE, storage)
        self._clock = clock

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The values of those keys that exist."""
        return dict(self._call("kv.MGet", map(_item, keys)))

    def has(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that exist."""
        return {key for key, _ in self._call("kv.Has", map(_item, keys))}

    def set_many(self, items: Mapping[str, bytes], ttl: float | None = None) -> None:
        """Sets values, replacing older ones and their times to live, in one call.

        Args:
            items: values by key.
            ttl: seconds that the keys live at least, 2 or more; up to two more, since the server counts whole seconds.
                None for ever.

        Raises:
            ConfigurationError: the time to live is out of range; under two seconds the server may keep a key for ever.
        """
        timeout = b"" if ttl is None else encode_field(_TIMEOUT, self._timeout(ttl))
        self._call("kv.Set", (_item(key) + encode_field(_VALUE, value) + timeout for key, value in items.items()))

    def delete(self, keys: Iterable[str]) -> None:
        """Removes keys; those that do not exist are no error."""
        self._call("kv.Delete", map(_item, keys))

    def _timeout(self, ttl: float) -> str:
        if not MIN_TTL <= ttl <= MAX_TTL:
            raise ConfigurationError(
                f"a time to live in RoadRunner KV is {MIN_TTL:g} to {MAX_TTL:g} seconds, not {ttl:g}"
            )
        # Up to a whole second, and one more: the server's clock goes on until it rounds the difference down.
        return datetime.fromtimestamp(math.ceil(self._clock() + ttl) + 1, UTC).isoformat()

    def _call(self, method: str, items: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
        parts = [encode_field(_REQUEST_ITEM, item) for item in items]
        if not parts:  # an error to the server
            return iter(())
        return _items(self._rpc.call(method, b"".join((self._storage, *parts)), Codec.PROTO))


def _item(key: str) -> bytes:
    return encode_field(_KEY, key)


def _items(response: bytes) -> Iterator[tuple[str, bytes]]:
    for number, item in decode_fields(response):
        if number == _RESPONSE_ITEM and isinstance(item, bytes):
            fields = dict(decode_fields(item))
            yield _text(fields.get(_KEY, b"")), _bytes(fields.get(_VALUE, b""))


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError as error:
        raise CodecError(f"RoadRunner KV answered a key that is no UTF-8: {error.reason}") from error


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise CodecError("RoadRunner KV answered a number where bytes belong")
    return value
