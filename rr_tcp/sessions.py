"""What a connection's state looks like at rest, and what a store for it must do.

A session is two things: a small *state*, replaced on every event, and *bulk* bytes (a mail's body, an upload) that only
grow until they are dropped. They are apart because rewriting a growing body on every packet costs O(n^2). `App` loads
a session before each event and saves what the event changed after it, one store call each way.

The backends are `rr_tcp.stores`; all else in the SDK only knows this protocol.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from rr_tcp.errors import ConfigurationError, SessionDataError

StateT = TypeVar("StateT")


MIN_TTL: Final = 2.0
"""Seconds. RoadRunner KV stores a key whose rest of life is under a second without any expiry (memory v5.2.9)."""

MAX_TTL: Final = 366 * 86400.0
"""Seconds. No connection lives that long; more is a mistake of the unit."""

BULK_PIECE: Final = 256 * 1024
"""Bytes that `SessionStore.iter_bulk` collects or cuts its pieces to, where what was appended at once is not larger."""


def check_ttl(ttl: float) -> None:
    """Refuses a time to live that some store could not keep, with `ConfigurationError`."""
    if not MIN_TTL <= ttl <= MAX_TTL:
        raise ConfigurationError(f"a session's time to live is {MIN_TTL:g} to {MAX_TTL:g} seconds, not {ttl:g}")


class StoredSession(msgspec.Struct, frozen=True, gc=False):
    """A session as a store returns it.

    Attributes:
        state: what was last saved.
        bulk_size: length in bytes of the bulk data that belongs to this state.
        closed: the session is a tombstone: its connection is over, only a late event may still come.
    """

    state: bytes
    bulk_size: int = 0
    closed: bool = False


class OpenSession(msgspec.Struct, frozen=True, gc=False):
    """What a scan tells of a session whose connection is open, as far as the store knows.

    Attributes:
        key: the connection's uuid.
        server: what the session was begun with; "" when nothing was told.
        opened: when it was saved first, in seconds since the epoch by the clock of the worker that did; 0 if unknown.
        saved: the same of the last time.
    """

    key: str
    server: str
    opened: float
    saved: float


class ScanPage(msgspec.Struct, frozen=True, gc=False):
    """A part of a scan.

    Attributes:
        sessions: those that are open. There may be none though the scan is not over.
        cursor: what the next call is given; "" when the scan is over.
    """

    sessions: list[OpenSession]
    cursor: str = ""


SCAN_COUNT: Final = 200
"""Sessions that a call of `SessionStore.scan` looks at, about: a millisecond for which Redis serves nobody else."""


class SessionStore(Protocol):
    """Sessions of all connections, shared by all workers of a host.

    RoadRunner never runs two events of one connection at a time, so a store needs no lock per session; it must bear
    many processes working on different keys, and a process killed in the middle of any call: then the call happened
    as a whole or not at all. Keys are RoadRunner's connection uuids. Every method raises `SessionStoreError` when the
    store cannot do it, and `SessionDataError` when what it finds is damaged or of an unknown form.
    """

    def load(self, key: str) -> StoredSession | None:
        """The session, a tombstone (`closed`), or None when there is none or its time is over."""

    def save(
        self, key: str, state: bytes, *, ttl: float, append: bytes = b"", truncate: bool = False, server: str = ""
    ) -> None:
        """Replaces the state, appends to the bulk data and starts the time to live anew, all in one step.

        Args:
            key: the connection's uuid.
            state: replaces what was saved.
            ttl: seconds until the session is gone unless it is saved again, from `MIN_TTL` to `MAX_TTL`.
            append: bytes to add to the bulk data.
            truncate: drop the bulk data first.
            server: the name of the connection's server; given with the first save, kept through the others.
        """

    def read_bulk(self, key: str) -> bytes:
        """All bulk bytes of the session, exactly `bulk_size` of them."""

    def iter_bulk(self, key: str) -> Iterator[bytes]:
        """The same in pieces, so that bulk data need not fit into memory at once.

        A piece is no larger than `BULK_PIECE`, or than what was appended at once. That something is missing may be
        noticed, and raised, as late as with the last piece: act on the bytes when all of them came.
        """

    def end(self, key: str, *, ttl: float, state: bytes = b"") -> None:
        """Replaces the session by a tombstone that carries `state`; its bulk data is dropped.

        Args:
            key: the connection's uuid. A session that never was gets a tombstone too.
            ttl: seconds until the tombstone is gone, from `MIN_TTL` to `MAX_TTL`.
            state: what a late event (the rest of a line that RoadRunner hands over after CLOSE) may need.
        """

    def delete(self, key: str) -> None:
        """Removes every trace of the session, a tombstone too. Without one, does nothing."""

    def scan(self, cursor: str = "", *, count: int = SCAN_COUNT) -> ScanPage:
        """A part of all sessions that are neither over nor ended, for whoever looks after them (`rr_tcp.reaper`).

        A session that is there from the first call to the last is told of, perhaps twice. One that begins or ends
        meanwhile may be or not.

        Args:
            cursor: "" begins a scan, what the last call returned goes on with it.
            count: sessions that the call looks at, about.

        Raises:
            ScanUnsupportedError: this kind of store cannot list what it has.
        """

    def close(self) -> None:
        """Gives back what the store holds open. The store is not used after."""


class StateCodec(Generic[StateT]):
    """Typed plain data to bytes and back (MessagePack); never pickle.

    Args:
        state_type: a msgspec Struct or dataclass. Make Structs with `forbid_unknown_fields=True`: data of a newer
            version is then refused instead of losing what this version does not know.
    """

    __slots__ = ("_decoder", "_encoder", "_name")

    def __init__(self, state_type: type[StateT]) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(state_type)
        self._name = state_type.__qualname__

    def encode(self, state: StateT) -> bytes:
        """The state as bytes; `SessionDataError` when it holds what has no form in them."""
        try:
            return self._encoder.encode(state)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:  # ValueError: a str without UTF-8 form
            raise SessionDataError(
                f"a {self._name} cannot be stored: {error}. Its fields must be plain data: numbers of 64 bits, str, "
                "bytes, lists and dicts of these, Structs"
            ) from error

    def decode(self, data: bytes) -> StateT:
        """The state from bytes; `SessionDataError` when they are damaged or of another form."""
        try:
            return self._decoder.decode(data)
        except (ValueError, RecursionError) as error:  # ValueError: no MessagePack, no UTF-8, or of another form
            raise SessionDataError(
                f"a stored session is no {self._name}: {error}. It was written by another version or service, or is "
                "damaged; the connection is closed and its session dropped"
            ) from error
