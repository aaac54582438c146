"""A connection as a stateful protocol sees it during one event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Generic

from rr_tcp.errors import ResponseTooLargeError
from rr_tcp.events import Request, split_remote_addr
from rr_tcp.sessions import StateT

SPILL: Final = 2 * 1024 * 1024
"""Bytes that are appended in one event before they go to the store on the way, so that they do not fill the memory."""

Spill = Callable[[str, bytes, bytes, bool], None]
"""Stores bulk data before the event is over. Takes the connection's uuid, the state as it is stored, the bytes to
append, and whether to drop the older ones first."""


class Connection(Generic[StateT]):
    """One connection, for the time of one event.

    Nothing of it outlives the event but `state` and the bulk data, which are saved before the answer leaves. Replies
    are collected into the one response that RoadRunner allows per event.

    Attributes:
        uuid: RoadRunner's name of the connection.
        server: the name of the server in RoadRunner's configuration.
        remote_addr: the client's `host:port`.
        state: the protocol's own state, of its `state_type`; change it or replace it.
    """

    __slots__ = (
        "_appended",
        "_bulk_size",
        "_closing",
        "_iter_stored_bulk",
        "_max_output",
        "_output_size",
        "_pending_size",
        "_spill",
        "_stored_state",
        "_truncated",
        "_written",
        "remote_addr",
        "server",
        "state",
        "uuid",
    )

    def __init__(
        self,
        request: Request,
        state: StateT,
        *,
        max_output: int,
        bulk_size: int = 0,
        iter_stored_bulk: Callable[[str], Iterator[bytes]] | None = None,
        spill: Spill | None = None,
        stored_state: bytes = b"",
    ) -> None:
        self.uuid = request.connection_uuid
        self.server = request.server
        self.remote_addr = request.remote_addr
        self.state = state
        self._bulk_size = bulk_size
        self._iter_stored_bulk = iter_stored_bulk
        self._spill = spill
        self._stored_state = stored_state
        self._max_output = max_output
        self._output_size = 0
        self._written: list[bytes] = []
        self._appended: list[bytes] = []
        self._pending_size = 0
        self._truncated = False
        self._closing = False

    @property
    def peer(self) -> tuple[str, int]:
        """The client's host and port."""
        return split_remote_addr(self.remote_addr)

    def write(self, data: bytes) -> None:
        """Adds bytes to the answer to this event.

        Raises:
            ResponseTooLargeError: the answer is over `App`'s limit. One event can hold thousands of lines; this is
                raised before the replies to them fill the worker's memory.
        """
        self._output_size += len(data)
        if self._output_size > self._max_output:
            raise ResponseTooLargeError(
                f"the replies to one event take more than {self._max_output} bytes: answer less per event, or raise "
                "App(max_response=...)"
            )
        self._written.append(data)

    def close(self) -> None:
        """Closes the connection once the answer to this event is written."""
        self._closing = True

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing

    @property
    def output(self) -> bytes:
        """What was written during this event."""
        return b"".join(self._written)

    def append_bulk(self, data: bytes) -> None:
        """Adds bytes to the bulk data, which the store keeps apart from the state and never rewrites.

        They travel with the call that saves the session, unless one event appends more than `SPILL`: that goes to the
        store on the way, where it waits for the state of this event. Should the event fail, the session ends.
        """
        if data:
            self._appended.append(data)
            self._pending_size += len(data)
            if self._pending_size >= SPILL and self._spill is not None:
                self._spill(self.uuid, self._stored_state, *self.pending_bulk())
                self._bulk_size = self.bulk_size
                self._appended.clear()
                self._pending_size, self._truncated = 0, False

    def clear_bulk(self) -> None:
        """Drops the bulk data."""
        self._appended.clear()
        self._pending_size = 0
        self._truncated = True

    @property
    def bulk_size(self) -> int:
        """Length of the bulk data in bytes."""
        return (0 if self._truncated else self._bulk_size) + self._pending_size

    def read_bulk(self) -> bytes:
        """All bulk data at once. What earlier events appended costs one call to the store, or some if it is large."""
        return b"".join(self.iter_bulk())

    def iter_bulk(self) -> Iterator[bytes]:
        """All bulk data in pieces, so that it need not fit into memory at once.

        That the store lost some of it may be noticed, and raised as `SessionDataError`, as late as with its last
        piece: act on the bytes when all of them came.
        """
        if self._bulk_size and not self._truncated and self._iter_stored_bulk is not None:
            yield from self._iter_stored_bulk(self.uuid)
        yield from self._appended

    def pending_bulk(self) -> tuple[bytes, bool]:
        """What the store must be told of the bulk data: bytes to append, and whether to drop the older ones first."""
        return b"".join(self._appended), self._truncated and self._bulk_size > 0
