"""What the session stores have in common: limits, the stored form of a session, and two guards."""

from __future__ import annotations

import struct
import uuid
from typing import Final
from zlib import crc32

import msgspec

from rr_tcp.errors import SessionDataError, SessionStoreError
from rr_tcp.sessions import MIN_TTL, SessionStore

MAX_KEY: Final = 200
"""Bytes of a session's key; RoadRunner's uuids take 36, LMDB's limit is 511 with the index of a chunk."""

FORMAT: Final = 1
"""Version of the stored form. A store refuses every other one."""

_HEADER: Final = struct.Struct("<BId")
_SEAL: Final = struct.Struct("<BI")
_EXPIRY: Final = struct.Struct("<d")


class Record(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """A session at rest in a store that knows nothing but keys and values.

    Attributes:
        state: the session's state.
        bulk_size: bytes of bulk data.
        first_chunk: index of the oldest chunk of the bulk data.
        next_chunk: index that the next chunk gets. Indexes go on after the bulk data was dropped, so that the removal
            of an old chunk can never hit a new one.
        closed: the session is a tombstone.
        chunks_expire: when the store drops the first of the chunks, in seconds since the epoch; 0 where it drops none.
        server: the name of the connection's server.
        opened: when the session was saved first, in seconds since the epoch.
        saved: the same of the last time.
    """

    state: bytes
    bulk_size: int = 0
    first_chunk: int = 0
    next_chunk: int = 0
    closed: bool = False
    chunks_expire: float = 0.0
    server: str = ""
    opened: float = 0.0
    saved: float = 0.0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


def encode_record(record: Record, expires: float) -> bytes:
    """A record as bytes: format version, CRC-32 of all that follows, time of expiry, MessagePack.

    Version and expiry keep their places in every future format: a sweep must know what is over without reading on.

    Args:
        record: what to store.
        expires: seconds since the epoch, by the wall clock that all processes of a host share.
    """
    sealed = _EXPIRY.pack(expires) + _encode(record)
    return _SEAL.pack(FORMAT, crc32(sealed)) + sealed


def decode_record(key: str, data: bytes) -> tuple[Record, float]:
    """The record and its time of expiry; `SessionDataError` when the bytes are no such thing."""
    if not data or data[0] != FORMAT:
        found = f"format {data[0]}" if data else "no data"
        raise SessionDataError(
            f"the stored session {key} has {found}, this version reads format {FORMAT}: let only one version use a "
            "session store, or give each its own"
        )
    if len(data) < _HEADER.size:
        raise _damaged(key, "it is cut short")
    _, checksum, expires = _HEADER.unpack_from(data)
    if crc32(data[_SEAL.size :]) != checksum:
        raise _damaged(key, "its checksum is wrong")
    try:
        return _decode(data[_HEADER.size :]), expires
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(key, str(error)) from error


def expiry_of(data: bytes) -> float:
    """When a record of any format is over, in seconds since the epoch; 0 when it is too short to say."""
    return float(_HEADER.unpack_from(data)[2]) if len(data) >= _HEADER.size else 0.0


def _damaged(key: str, how: str) -> SessionDataError:
    return SessionDataError(f"the stored session {key} is damaged: {how}. Its connection is lost, no other one is")


def wrong_bulk(key: str, found: int, expected: int) -> SessionDataError:
    """The error for bulk data that is not what its state says."""
    return SessionDataError(
        f"the bulk data of the stored session {key} has {found} bytes, its state says {expected}. Something removed or "
        "wrote keys of the session store; its connection is lost, no other one is"
    )


def no_session(key: str) -> SessionDataError:
    """The error for reading the bulk data of a session that is not there."""
    return SessionDataError(f"there is no session {key} to read bulk data of: its time is over, or it was deleted")


def check_key(key: str) -> None:
    """Refuses a key that some backend could not store, with `SessionStoreError`."""
    if not key.strip() or "\0" in key or len(key.encode()) > MAX_KEY:
        raise SessionStoreError(
            f"{key[:MAX_KEY]!r} cannot be a session's key: use RoadRunner's uuid of the connection (1 to {MAX_KEY} "
            "bytes, not blank, without NUL)"
        )


class SeenBulk:
    """Remembers how much bulk data the session of the event that is handled has.

    A session can expire between the `load` and a `save` of one event, or between two of its saves. Saving then would
    make a session whose state speaks of bulk data that is gone, so that a mail would lose its beginning: it is refused
    instead.
    """

    __slots__ = ("_key", "_size")

    def __init__(self) -> None:
        self._key = ""
        self._size = 0

    def loaded(self, key: str, bulk_size: int) -> None:
        """A session was loaded."""
        self._key, self._size = key, bulk_size

    def saved(self, key: str, bulk_size: int) -> None:
        """A session was saved; its event may save more. One that was not loaded before is none's."""
        self._size = bulk_size if key == self._key else 0

    def forget(self) -> None:
        """The session was ended or deleted: it is not what was loaded any more."""
        self._size = 0

    def check(self, key: str, bulk_size: int) -> None:
        """A session that has `bulk_size` bytes in the store is about to be saved on top of them.

        Raises:
            SessionStoreError: it had more when it was loaded or saved last.
        """
        if key == self._key and bulk_size < self._size:
            raise SessionStoreError(
                f"the time of session {key} was over while its event was handled: its {self._size} bytes of bulk data "
                "are gone. Give sessions more time (App(session_ttl=...)) than an event can take (supervisor.exec_ttl)"
            )


def check_store(store: SessionStore) -> None:
    """Writes, reads and removes a session, so that a store that cannot work is known before the first client comes.

    Raises:
        SessionStoreError: the store is unreachable, full, or refuses us.
    """
    key, state = f"check-{uuid.uuid4()}", b"check"
    store.save(key, state, ttl=MIN_TTL)
    loaded = store.load(key)
    store.delete(key)
    if loaded is None or loaded.state != state:
        raise SessionStoreError("the session store does not return what was just saved: is its clock or expiry broken?")
