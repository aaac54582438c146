"""What RoadRunner sends: frames, events, RPC answers, Protocol Buffers messages."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from zlib import crc32

import msgspec

from rr_tcp import AccessRules, App, LineProtocol, LineState, Request
from rr_tcp.connection import Connection
from rr_tcp.errors import CodecError, FrameError, RPCError, TransportError, WorkerError
from rr_tcp.frame import HEADER_SIZE, MAX_OPTIONS, Flag, Frame, FrameDecoder
from rr_tcp.plugins.informer import Informer
from rr_tcp.plugins.kv import KV
from rr_tcp.protobuf import decode_fields, encode_field
from rr_tcp.relay import SocketRelay
from rr_tcp.rpc import RPC, Codec
from rr_tcp.testing import FakeRelay, MemorySessionStore
from rr_tcp.worker import Worker
from tests.fuzz.pieces import stream_in_pieces, take

MAX_PAYLOAD = 2**31
"""Bytes that a header may announce: more than there is memory for."""


def _decode(pieces: list[bytes]) -> tuple[list[Frame], bool]:
    """The frames, and whether something after them was refused."""
    decoder = FrameDecoder(max_payload=MAX_PAYLOAD)
    frames: list[Frame] = []
    for piece in pieces:
        decoder.feed(piece)
        try:
            while (frame := decoder.next_frame()) is not None:
                frames.append(frame)
        except FrameError:
            return frames, True
    return frames, False


def frames(data: bytes) -> None:
    """Any split gives the same frames and the same refusal; what was decoded encodes to the bytes it came from."""
    stream, pieces = stream_in_pieces(data)
    decoded, refused = _decode([stream])
    assert _decode(pieces) == (decoded, refused)
    encoded = b"".join(frame.encode() for frame in decoded)
    assert len(encoded) <= len(stream)
    for frame in decoded:
        assert len(frame.options) <= MAX_OPTIONS
        assert len(frame.payload) <= MAX_PAYLOAD


def sealed_frames(data: bytes) -> None:
    """The same with right checksums, which no fuzzer guesses.

    Input is two cuts, then header length in words, flags, payload length, by how many bits more the header announces,
    options and payload again and again.
    """
    cuts, rest = take(data, 2)
    stream = bytearray()
    while rest:
        head, rest = take(rest, 5)
        words, flags, length, shift = struct.unpack("<BBHB", head)
        protected = struct.pack("<BBI", words, flags, length << shift % 17)
        size = 4 * max(0, (words & 0x0F) - HEADER_SIZE // 4) + length
        stream += protected + struct.pack("<IH", crc32(protected), 0) + rest[:size]
        rest = rest[size:]
    frames(b"\x02" + cuts + bytes(stream))


class _Lines(LineProtocol[LineState]):
    state_type = LineState
    max_line = 32

    def line_received(self, connection: Connection[LineState], line: bytes) -> None:
        connection.write(line + b"\n")
        if line == b"close":
            connection.close()


def _app() -> App:
    app = App(store=MemorySessionStore(), max_response=256)
    app.add("lines", _Lines(), access=AccessRules(allow=["192.0.2.0/24", "::1"]))
    app.add("proxied", _Lines(), trusted_proxies=AccessRules())

    @app.on("function", access=AccessRules(deny=["192.0.2.0/24"]))
    def function(request: Request) -> bytes:
        return request.body

    return app


def _frames_to_worker(data: bytes) -> list[Frame]:
    """Input is flags, number of options, context's length, payload's length and payload again and again."""
    sent = []
    while data:
        head, data = take(data, 6)
        flags, count, context, size = struct.unpack("<BBHH", head)
        sent.append(Frame(data[:size], flags, (context,) * (count % 4)))
        data = data[size:]
    return sent


def worker(data: bytes) -> None:
    """Whatever RoadRunner sends, each event is answered once, and nothing but the SDK's own errors ends the worker."""
    sent = _frames_to_worker(data)
    relay = FakeRelay(sent)
    with contextlib.suppress(TransportError, WorkerError):
        _app().run(Worker(relay, pid=1))
    events = sum(not frame.flags & Flag.CONTROL for frame in sent)
    answers = [frame for frame in relay.sent if not frame.flags & Flag.CONTROL]
    assert len(answers) <= events
    for answer in answers:
        if not answer.flags:
            [size] = answer.options
            assert answer.payload[:size] in {b"CONTINUE", b"WRITE", b"WRITECLOSE", b"CLOSE"}
        else:
            assert answer.flags == Flag.ERROR


def event_bytes(flags: int, options: int, context: bytes, body: bytes) -> bytes:
    """A frame as the target `worker` reads it."""
    return struct.pack("<BBHH", flags, options, len(context), len(context + body)) + context + body


def protobuf(data: bytes) -> None:
    """Bytes are refused as no message, or are fields that can be written again."""
    try:
        fields = list(decode_fields(data))
    except CodecError:
        return
    assert list(decode_fields(b"".join(encode_field(number, value) for number, value in fields))) == fields


class _Answer(msgspec.Struct):
    names: list[str]
    sizes: dict[str, int]


_CALLS: tuple[tuple[str, Callable[[RPC], object]], ...] = (
    ("p.Any", lambda rpc: rpc.call("p.Any", None)),
    ("p.Typed", lambda rpc: rpc.call("p.Typed", None, answer=_Answer)),
    ("p.Raw", lambda rpc: rpc.call("p.Raw", b"", Codec.RAW)),
    ("kv.MGet", lambda rpc: KV(rpc, "s").get_many(["k"])),
    ("kv.Has", lambda rpc: KV(rpc, "s").has(["k"])),
    ("informer.Workers", lambda rpc: Informer(rpc).workers("tcp")),
    ("p.Any", lambda rpc: rpc.call_many([("p.Any", 1), ("p.Any", 2)])),
)


def rpc(data: bytes) -> None:
    """Whatever answers a call, it ends in a value or in an error of the SDK.

    Input is the call, then either bytes as they come (first bit of the next byte), or the answer's flags and body.
    """
    head, rest = take(data, 3)
    method, call = _CALLS[head[0] % len(_CALLS)]
    answer = Frame(method.encode() + rest, head[2], (1, len(method))).encode()
    received = rest if head[1] & 1 else answer
    ours, theirs = socket.socketpair()
    with theirs, contextlib.closing(RPC("tcp://127.0.0.1:1")) as client:
        client._relay = SocketRelay(ours)
        theirs.sendall(received[: 64 * 1024])
        theirs.shutdown(socket.SHUT_WR)
        with contextlib.suppress(RPCError, CodecError):
            call(client)


def sealed(payload: bytes, flags: int = 0, options: int = 0) -> bytes:
    """A frame as the target `sealed_frames` reads it."""
    words = HEADER_SIZE // 4 + options
    return struct.pack("<BBHB", 0x10 | words, flags, len(payload), 0) + bytes(4 * options) + payload
