"""A relay without RoadRunner: frames in, frames out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from rr_tcp.errors import RelayError
from rr_tcp.events import TcpEvent
from rr_tcp.frame import Flag, Frame

STOP_FRAME = Frame(b'{"stop":true}', Flag.CONTROL | Flag.JSON)
"""RoadRunner tells the worker to end."""


def pid_frame(pid: int = 1) -> Frame:
    """RoadRunner's first frame, which asks for the worker's pid."""
    return Frame(b'{"pid":%d}' % pid, Flag.CONTROL | Flag.JSON)


def event_frame(
    event: TcpEvent | str,
    body: bytes = b"",
    *,
    server: str = "test",
    uuid: str = "6f9b9a0e-0000-4000-8000-000000000000",
    remote_addr: str = "127.0.0.1:50000",
) -> Frame:
    """One event as the TCP plugin sends it."""
    context = msgspec.json.encode({"remote_addr": remote_addr, "server": server, "uuid": uuid, "event": str(event)})
    return Frame(context + body, options=(len(context),))


class FakeRelay:
    """Gives a worker prepared frames and keeps what it sends; ends like a pipe when there are no more.

    Attributes:
        sent: the frames that the worker sent.
        closed: whether it closed the relay.
    """

    def __init__(self, frames: Iterable[Frame] = ()) -> None:
        self._frames = deque(frames)
        self.sent: list[Frame] = []
        self.closed = False

    def send(self, frame: Frame) -> None:
        """Keeps the frame; `RelayError` after `close`."""
        if self.closed:
            raise RelayError("the relay is closed")
        frame.encode()  # what cannot be encoded cannot be sent on a real relay either
        self.sent.append(frame)

    def receive(self) -> Frame | None:
        """The next prepared frame, None after the last."""
        return self._frames.popleft() if self._frames else None

    def close(self) -> None:
        """Ends the relay."""
        self.closed = True
