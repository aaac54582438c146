"""Relays: the byte streams on which frames travel between RoadRunner and a worker, or an RPC client.

`pipes` are the worker's stdin and stdout; `tcp://host:port` and `unix://path` are sockets that the worker connects to.
"""

from __future__ import annotations

import abc
import os
import socket
import sys
from typing import Final, Protocol

from rr_tcp.errors import ConfigurationError, RelayError
from rr_tcp.frame import Frame, FrameDecoder
from rr_tcp.process import Forks

_READ_SIZE: Final = 64 * 1024
"""Bytes asked for per read: what a pipe holds, and more than a typical event. A buffer of 128 KiB or more is mapped and
unmapped by malloc for every read, which costs more than all the rest of an event."""

PIPES: Final = "pipes"

_CLOSED: Final = -1
"""No file descriptor: never one that somebody else opened since."""


class Relay(Protocol):
    """Sends and receives whole frames."""

    def send(self, frame: Frame) -> None:
        """Sends one frame as a whole; `RelayError` when the other side is gone or slow beyond the timeout."""

    def receive(self) -> Frame | None:
        """Waits for one frame; None when the other side ended between two frames.

        Raises:
            RelayError: the stream broke, timed out, or ended in mid-frame.
            FrameError: the bytes are no frame.
        """

    def close(self) -> None:
        """Ends the relay."""


class _StreamRelay(abc.ABC):
    """What all relays share; the byte stream itself is the subclass's."""

    def __init__(self) -> None:
        self._decoder = FrameDecoder()
        self._owner = os.getpid()
        Forks.close_in_children(self)  # it would also keep RoadRunner from seeing that its worker died

    @abc.abstractmethod
    def _read(self) -> bytes: ...

    @abc.abstractmethod
    def _write(self, data: bytes) -> None: ...

    @abc.abstractmethod
    def close(self) -> None: ...

    def send(self, frame: Frame) -> None:
        data = frame.encode()
        try:
            self._write(data)
        except OSError as error:
            self.close()
            raise self._failure("send to", error) from error
        except BaseException:  # out of a signal handler: part of the frame may have left, so nothing may follow it
            self.close()
            raise

    def receive(self) -> Frame | None:
        while (frame := self._decoder.next_frame()) is None:
            try:
                data = self._read()
            except OSError as error:
                raise self._failure("receive from", error) from error
            if not data:
                if self._decoder.in_frame:
                    raise RelayError("the relay ended in the middle of a frame")
                return None
            self._decoder.feed(data)
        return frame

    def _failure(self, what: str, error: OSError) -> RelayError:
        if os.getpid() != self._owner:
            return RelayError(
                f"cannot {what} RoadRunner from a forked child: only the worker itself can. Let the child end by "
                "os._exit(), or use subprocess or multiprocessing"
            )
        return RelayError(f"cannot {what} RoadRunner: {error}")


class PipeRelay(_StreamRelay):
    """A pair of file descriptors, which the relay owns. A child that is forked does not inherit them.

    Args:
        read_fd: where frames come from.
        write_fd: where frames go to.
    """

    def __init__(self, read_fd: int, write_fd: int) -> None:
        super().__init__()
        self._read_fd = read_fd
        self._write_fd = write_fd

    @classmethod
    def from_stdio(cls) -> PipeRelay:
        """Takes over stdin and stdout, so that nothing else can.

        File descriptor 1 becomes a copy of stderr and 0 reads from the null device: a print(), a C library's output or
        an input() in user code then does no harm. Call it before user code is imported. The private copies are not
        inherited by programs that user code starts.
        """
        relay = cls(os.dup(0), os.dup(1))
        os.dup2(2, 1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(line_buffering=True)
        return relay

    def _read(self) -> bytes:
        return os.read(self._read_fd, _READ_SIZE)

    def _write(self, data: bytes) -> None:
        written = os.write(self._write_fd, data)
        if written < len(data):
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[os.write(self._write_fd, rest) :]

    def close(self) -> None:
        """Closes both file descriptors."""
        fds, self._read_fd, self._write_fd = (self._read_fd, self._write_fd), _CLOSED, _CLOSED
        for fd in fds:
            if fd != _CLOSED:
                os.close(fd)


class SocketRelay(_StreamRelay):
    """A connected stream socket, which the relay owns. A child that is forked does not inherit it."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._socket = sock

    @classmethod
    def connect(cls, address: str, *, timeout: float | None = None) -> SocketRelay:
        """Connects to `tcp://host:port` or `unix://path`.

        Args:
            address: where RoadRunner listens.
            timeout: seconds that connecting, and later each send and receive, may take; None waits for ever.
        """
        scheme, _, rest = address.partition("://")
        try:
            if scheme == "unix" and rest:
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                sock.settimeout(timeout)
                try:
                    sock.connect(rest)
                except OSError:
                    sock.close()
                    raise
                return cls(sock)
            host, port = _host_and_port(address, scheme, rest)
            sock = socket.create_connection((host, port), timeout)
        except OSError as error:
            raise RelayError(f"cannot connect to {address}: {error}") from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock)

    def _read(self) -> bytes:
        return self._socket.recv(_READ_SIZE)

    def _write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


def connect(address: str, *, timeout: float | None = None) -> Relay:
    """The relay at `pipes`, `tcp://host:port` or `unix://path`.

    Args:
        address: as RoadRunner's `server.relay` and `rpc.listen` have it.
        timeout: seconds per operation on a socket; pipes wait for ever.

    Raises:
        ConfigurationError: no such kind of address.
        RelayError: nobody listens there.
    """
    if address == PIPES:
        return PipeRelay.from_stdio()
    return SocketRelay.connect(address, timeout=timeout)


def _host_and_port(address: str, scheme: str, rest: str) -> tuple[str, int]:
    host, colon, port = rest.rpartition(":")
    if scheme != "tcp" or not colon or not port.isdecimal() or int(port) > 65535:
        raise ConfigurationError(f"{address!r} is no relay address: use pipes, tcp://host:port or unix://path")
    return host.removeprefix("[").removesuffix("]"), int(port)
