"""The RPC client against a server that answers as the test wants, on a real socket."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from rr_tcp.errors import CodecError, ConfigurationError, RelayError, RPCServiceError, RPCTransportError
from rr_tcp.frame import Flag, Frame
from rr_tcp.relay import SocketRelay
from rr_tcp.rpc import RPC, Codec
from rr_tcp.testing import free_ports

Answer = Callable[[Frame], Frame | None]
"""An answer to a call, or None to close the connection instead."""


class FakeServer:
    """Answers every call by `answer`, one connection after the other.

    Attributes:
        answer: what to answer; a test may replace it.
        calls: the frames that came.
        connections: how many there were.
    """

    def __init__(self) -> None:
        self.answer: Answer = echo
        self.calls: list[Frame] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def address(self) -> str:
        return "tcp://{}:{}".format(*self._listener.getsockname())

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with contextlib.closing(SocketRelay(sock)) as relay, contextlib.suppress(RelayError):  # the client left
                while (frame := relay.receive()) is not None:
                    self.calls.append(frame)
                    if (answer := self.answer(frame)) is None:
                        break
                    relay.send(answer)


def echo(call: Frame) -> Frame:
    """The argument comes back, as from a method that returns what it takes."""
    return call


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with contextlib.closing(FakeServer()) as fake:
        yield fake


@pytest.fixture
def rpc(server: FakeServer) -> Iterator[RPC]:
    with contextlib.closing(RPC(server.address, timeout=5.0)) as client:
        yield client


def test_a_call_has_sequence_number_and_method_length_as_options(server: FakeServer, rpc: RPC) -> None:
    rpc.call("informer.Workers", "tcp")
    rpc.call("kv.Set", b"\x0a\0", Codec.PROTO)
    rpc.call("rpc.Config", b"\0", Codec.RAW)
    assert server.calls == [
        Frame(b'informer.Workers"tcp"', Flag.JSON, (1, 16)),
        Frame(b"kv.Set\x0a\0", Flag.PROTO, (2, 6)),
        Frame(b"rpc.Config\0", Flag.RAW, (3, 10)),
    ]
    assert server.connections == 1


def test_the_answer_is_what_follows_the_method(rpc: RPC) -> None:
    assert rpc.call("any.Method", {"a": [1, None, "ä"]}) == {"a": [1, None, "ä"]}
    assert rpc.call("any.Method", b"", Codec.PROTO) == b""
    assert rpc.call("any.Method", b"any.Method\0", Codec.RAW) == b"any.Method\0"


def test_an_error_of_the_service_leaves_the_connection_usable(server: FakeServer, rpc: RPC) -> None:
    server.answer = lambda call: Frame(b"kv.Setno such storage: x", call.flags | Flag.ERROR, call.options)
    with pytest.raises(RPCServiceError, match=r"^kv\.Set: no such storage: x$"):
        rpc.call("kv.Set", b"", Codec.PROTO)
    server.answer = echo
    assert rpc.call("rpc.Version", payload=True) is True
    assert server.connections == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda call: Frame(call.payload, call.flags, (call.options[0] - 1, call.options[1])),
        lambda call: Frame(call.payload, call.flags, (call.options[0], 3)),
        lambda call: Frame(call.payload, call.flags),
        lambda call: Frame(b"other.Method", call.flags, call.options),
        lambda call: Frame(b"", call.flags, call.options),
    ],
    ids=["sequence", "method length", "no options", "method", "no payload"],
)
def test_an_answer_to_another_call_ends_the_connection(server: FakeServer, rpc: RPC, wrong: Answer) -> None:
    """Every later answer could be another call's as well."""
    server.answer = wrong
    with pytest.raises(RPCTransportError, match="another call"):
        rpc.call("rpc.Version", payload=True)
    server.answer = echo
    assert rpc.call("rpc.Version", payload=True) is True
    assert server.connections == 2


def test_a_closed_connection_is_an_error_and_the_next_call_makes_a_new_one(server: FakeServer, rpc: RPC) -> None:
    """The call itself is not repeated: it may have been executed."""
    server.answer = lambda _: None
    with pytest.raises(RPCTransportError, match="closed the RPC connection"):
        rpc.call("rpc.Version", payload=True)
    server.answer = echo
    assert rpc.call("rpc.Version", payload=True) is True
    assert (server.connections, len(server.calls)) == (2, 2)


def test_bytes_that_are_no_frame_are_a_transport_error(rpc: RPC, server: FakeServer) -> None:
    server.answer = lambda call: NoFrame(call.payload)
    with pytest.raises(RPCTransportError, match="checksum"):
        rpc.call("rpc.Version", payload=True)


class NoFrame(Frame, frozen=True):
    def encode(self) -> bytes:
        return b"HTTP/1.1 400 Bad Request\r\n\r\n"


def test_a_late_answer_is_never_the_next_calls(server: FakeServer, rpc: RPC) -> None:
    answer_now = threading.Event()

    def late(call: Frame) -> Frame:
        answer_now.wait(10)
        return call

    server.answer = late
    rpc._timeout = 0.2
    start = time.monotonic()
    with pytest.raises(RPCTransportError, match="timed out"):
        rpc.call("first.Call", 1)
    assert time.monotonic() - start < 2.0
    answer_now.set()
    rpc._timeout = 5.0
    assert rpc.call("second.Call", 2) == 2
    assert server.connections == 2


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "unix:///nonexistent/rr.sock"])
def test_no_server_is_a_transport_error_that_says_what_to_look_at(address: str) -> None:
    rpc = RPC(address.format(port=free_ports(1)[0]))
    with pytest.raises(RPCTransportError, match="Is RoadRunner running"):
        rpc.call("rpc.Version", payload=True)


@pytest.mark.parametrize("address", ["", "pipes", "127.0.0.1:6001", "http://127.0.0.1:6001"])
def test_an_address_without_a_socket_is_refused(address: str) -> None:
    """`pipes` above all: it is the line on which RoadRunner sends events."""
    with pytest.raises(ConfigurationError, match="tcp://host:port or unix://path"):
        RPC(address)


def test_the_sequence_number_stays_within_its_32_bits(server: FakeServer, rpc: RPC) -> None:
    rpc._sequence = 2**32 - 2
    for number in range(3):
        assert rpc.call("any.Method", number) == number
    assert [call.options[0] for call in server.calls] == [2**32 - 1, 0, 1]


def test_an_argument_that_is_no_json_is_refused_before_it_is_sent(server: FakeServer, rpc: RPC) -> None:
    with pytest.raises(CodecError, match="no JSON value"):
        rpc.call("any.Method", object())
    assert server.calls == []


def test_an_answer_that_is_no_json_is_a_codec_error(server: FakeServer, rpc: RPC) -> None:
    server.answer = lambda call: Frame(b"any.Method{", call.flags, call.options)
    with pytest.raises(CodecError, match="no JSON"):
        rpc.call("any.Method", 1)


def test_closing_twice_does_nothing(rpc: RPC) -> None:
    rpc.call("any.Method", 1)
    rpc.close()
    rpc.close()
