"""The frame codec against RoadRunner's own bytes, every split, and bytes that are no frames."""

from __future__ import annotations

import itertools
import struct
import tracemalloc
from zlib import crc32

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rr_tcp.errors import FrameError
from rr_tcp.frame import HEADER_SIZE, LARGE, MAX_OPTIONS, Flag, Frame, FrameDecoder

STOP_BYTES = bytes.fromhex("13090d0000003a6bfacb0000") + b'{"stop":true}'  # captured from RoadRunner v2025.1.15

frames = st.builds(
    Frame,
    payload=st.binary(max_size=300),
    flags=st.integers(0, 255),
    options=st.lists(st.integers(0, 2**32 - 1), max_size=MAX_OPTIONS).map(tuple),
)


def header(*, version: int = 1, words: int = 3, length: int = 0) -> bytes:
    protected = struct.pack("<BBI", version << 4 | words, 0, length)
    return protected + struct.pack("<IH", crc32(protected), 0)


def test_encoding_gives_the_bytes_that_roadrunner_sends() -> None:
    assert Frame(b'{"stop":true}', Flag.CONTROL | Flag.JSON).encode() == STOP_BYTES


def test_decoding_understands_the_bytes_that_roadrunner_sends() -> None:
    decoder = FrameDecoder()
    decoder.feed(STOP_BYTES)
    assert decoder.next_frame() == Frame(b'{"stop":true}', 0x09)
    assert decoder.next_frame() is None
    assert not decoder.in_frame


@settings(deadline=None)  # a machine under load takes its time, which is not what this is about
@given(st.lists(frames, max_size=5), st.data())
def test_any_split_of_the_bytes_gives_the_same_frames(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(frame.encode() for frame in sent)
    decoder = FrameDecoder()
    received = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        decoder.feed(stream[:size])
        stream = stream[size:]
        while (frame := decoder.next_frame()) is not None:
            received.append(frame)
    assert received == sent
    assert not decoder.in_frame


@pytest.mark.parametrize("size", [LARGE, LARGE + 1, 3 * LARGE])
@pytest.mark.parametrize("context", [0, 1, 100_000, LARGE - 1, LARGE])
@pytest.mark.parametrize("cuts", [(), (HEADER_SIZE,), (HEADER_SIZE + 3, HEADER_SIZE + 4), (500_000,), (LARGE + 15,)])
def test_a_large_frame_is_parted_where_its_option_says_however_it_came(
    size: int, context: int, cuts: tuple[int, ...]
) -> None:
    payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    stream = Frame(payload, 4, (context,)).encode() + STOP_BYTES
    decoder = FrameDecoder()
    received = []
    for start, stop in itertools.pairwise((0, *cuts, len(stream))):
        decoder.feed(stream[start:stop])
        while (frame := decoder.next_frame()) is not None:
            received.append(frame)
        assert decoder.in_frame == (stop < len(stream))
    assert received == [Frame(payload[:context], 4, (context,), payload[context:]), Frame(STOP_BYTES[12:], 0x09)]
    assert received[0].encode() + STOP_BYTES == stream


@pytest.mark.parametrize("options", [(), (LARGE + 1,), (2**32 - 1,), (1, 2)])
def test_a_large_frame_without_a_place_to_part_it_is_whole(options: tuple[int, ...]) -> None:
    sent = Frame(bytes(LARGE), options=options)
    stream = sent.encode()
    decoder = FrameDecoder()
    for start in range(0, len(stream), 65536):
        decoder.feed(stream[start : start + 65536])
    assert decoder.next_frame() == sent


def test_a_large_frame_is_in_memory_once() -> None:
    """RoadRunner hands over a mail of many megabytes as one."""
    size = 32 * LARGE
    piece = bytes(65536)
    decoder = FrameDecoder()
    tracemalloc.start()
    try:
        decoder.feed(header(words=4, length=size) + b"\x64\0\0\0")
        for _ in range(size // len(piece)):
            decoder.feed(piece)
            frame = decoder.next_frame()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert frame is not None
    assert (len(frame.payload), len(frame.tail)) == (100, size - 100)
    assert peak < 1.2 * size, "the buffer grows by an eighth at a time"


@given(st.binary(max_size=200))
@example(b"print() reached the wire")
def test_no_bytes_raise_anything_but_frame_error(junk: bytes) -> None:
    decoder = FrameDecoder()
    decoder.feed(junk)
    try:
        while decoder.next_frame() is not None:
            pass
    except FrameError:
        pass


@pytest.mark.parametrize("byte", range(10))
def test_a_flipped_bit_in_the_protected_header_is_refused(byte: int) -> None:
    damaged = bytearray(Frame(b"payload", options=(3,)).encode())
    damaged[byte] ^= 0x01
    decoder = FrameDecoder()
    decoder.feed(bytes(damaged))
    with pytest.raises(FrameError, match="checksum"):
        decoder.next_frame()


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (header(version=2), "version 2"),
        (header(words=2), "2 words"),
        (header(words=14), "14 words"),
        (header(length=1001), "1001 bytes"),
    ],
)
def test_a_valid_checksum_does_not_make_a_bad_header_good(bad: bytes, problem: str) -> None:
    decoder = FrameDecoder(max_payload=1000)
    decoder.feed(bad)
    with pytest.raises(FrameError, match=problem):
        decoder.next_frame()


def test_an_announced_payload_takes_no_memory_before_it_comes() -> None:
    decoder = FrameDecoder(max_payload=2**31)
    decoder.feed(header(length=2**31))
    assert decoder.next_frame() is None
    assert len(decoder._buffer) == HEADER_SIZE


def test_more_options_than_roadrunner_survives_are_refused() -> None:
    with pytest.raises(FrameError, match="options"):
        Frame(b"", options=(0,) * (MAX_OPTIONS + 1)).encode()
