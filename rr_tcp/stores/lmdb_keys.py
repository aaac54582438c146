"""The keys of a session store on LMDB.

    S key               the session's record
    B key NUL index     a chunk of its bulk data; the index is big-endian, so that chunks lie in their order
    C client            what is counted of a client

Clients and sessions stand last in the table, so a sweep over them ends where the table does.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from rr_tcp.stores.record import check_key

SESSION: Final = b"S"
"""First byte of a record's key; what sorts last."""

CLIENT: Final = b"C"
"""First byte of a client's key; what stands before the sessions."""

_BULK: Final = b"B"
_INDEX: Final = struct.Struct(">I")

_CACHED: Final = 1024
"""Keys that are remembered as checked and encoded: each is used by both calls of all events of a connection."""


@lru_cache(_CACHED)
def session_key(key: str) -> bytes:
    """Where the session's record is; `SessionStoreError` when some backend could not store the key."""
    check_key(key)
    return SESSION + key.encode()


def client_key(client: str) -> bytes:
    """Where the client's record is."""
    return CLIENT + client.encode()


def chunk_prefix(session: bytes) -> bytes:
    """What the keys of all chunks of the session at this key begin with, and no others."""
    return _BULK + session.removeprefix(SESSION) + b"\0"


def chunk_key(session: bytes, index: int) -> bytes:
    """Where a chunk of the session at this key is."""
    return chunk_prefix(session) + _INDEX.pack(index)
