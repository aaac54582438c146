"""The goridge v3 frame: how RoadRunner and its workers talk (goridge/v3 3.8.3).

All integers are little-endian::

    byte 0      high nibble: version, 1; low nibble: header length in 32-bit words, 3 + number of options
    byte 1      flags
    bytes 2-5   payload length
    bytes 6-9   CRC-32 (IEEE) of bytes 0-5; options, payload and bytes 10-11 are not protected
    byte 10     stream bits, never used by TCP workers
    byte 11     reserved, 0
    then        options, each 32 bits; then the payload
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Final
from zlib import crc32

import msgspec

from rr_tcp.errors import FrameError

VERSION: Final = 1
HEADER_SIZE: Final = 12
_HEADER_WORDS: Final = 3

MAX_OPTIONS: Final = 10
"""RoadRunner panics on a frame with more."""

MAX_PAYLOAD: Final = 256 * 1024 * 1024
"""Bytes. The field allows 4 GiB and RoadRunner sets no limit; this one bounds what a broken peer can make us hold."""

LARGE: Final = 1024 * 1024
"""Bytes of a payload from which on a frame with one option has it in two parts. RoadRunner's TCP plugin hands over all
that came before a delimiter, many megabytes of a mail: parted at once, they are in memory once and not twice."""

_PROTECTED: Final = struct.Struct("<BBI")
_HEADER: Final = struct.Struct("<BBIIH")

# By number of options. Made once: the codec runs for every packet of every connection.
_HEADERS: Final = [struct.Struct(f"{_HEADER.format}{count}I") for count in range(MAX_OPTIONS + 1)]
_OPTIONS: Final = [struct.Struct(f"<{count}I") for count in range(MAX_OPTIONS + 1)]
_FIRST_BYTES: Final = [VERSION << 4 | _HEADER_WORDS + count for count in range(MAX_OPTIONS + 1)]


class Flag:
    """Bits of byte 1. Plain integers, for speed."""

    CONTROL: Final = 0x01
    RAW: Final = 0x04
    JSON: Final = 0x08
    MSGPACK: Final = 0x10
    GOB: Final = 0x20
    ERROR: Final = 0x40
    PROTO: Final = 0x80


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One frame.

    Attributes:
        payload: the bytes after the options.
        flags: a union of `Flag` bits.
        options: at most `MAX_OPTIONS` unsigned 32-bit integers. A worker's frame has one, the length of the context
            at the start of the payload; an RPC frame has two, the sequence number and the length of the method name.
        tail: where the payload goes on, in a frame from a decoder with one option and `LARGE` bytes or more; the
            payload then ends where the option says.
    """

    payload: bytes
    flags: int = 0
    options: tuple[int, ...] = ()
    tail: bytes = b""

    def encode(self) -> bytes:
        """The frame as bytes; `FrameError` when it has too many options or too large a payload."""
        payload, options = self.payload, self.options
        if self.tail:
            payload += self.tail
        size, count = len(payload), len(options)
        if count > MAX_OPTIONS:
            raise FrameError(f"a frame has at most {MAX_OPTIONS} options, not {count}")
        if size > MAX_PAYLOAD:
            raise FrameError(f"a frame's payload has at most {MAX_PAYLOAD} bytes, not {size}")
        first = _FIRST_BYTES[count]
        checksum = crc32(_PROTECTED.pack(first, self.flags, size))
        return _HEADERS[count].pack(first, self.flags, size, checksum, 0, *options) + payload


class FrameDecoder:
    """Bytes in, frames out; sans-I/O, so that every short read is handled in one place.

    Memory grows with the bytes that arrived, never with what a header announces.

    Args:
        max_payload: a header that announces more bytes is refused.
    """

    __slots__ = ("_buffer", "_large", "_max_payload", "_need")

    def __init__(self, max_payload: int = MAX_PAYLOAD) -> None:
        self._buffer: bytes | bytearray = b""
        self._max_payload = max_payload
        self._need = HEADER_SIZE
        self._large: _LargeFrame | None = None

    @property
    def in_frame(self) -> bool:
        """Whether part of a frame is waiting for the rest."""
        return bool(self._buffer) or self._large is not None

    def feed(self, data: bytes) -> None:
        """Takes bytes as they came, any number of them."""
        if self._large is not None:
            data = self._large.feed(data)
        if not self._buffer:
            self._buffer = data  # mostly a whole frame, which then needs no other buffer
        elif isinstance(self._buffer, bytearray):
            self._buffer += data
        else:
            self._buffer = bytearray(self._buffer) + data

    def next_frame(self) -> Frame | None:
        """The next whole frame, or None until more bytes come.

        Raises:
            FrameError: the bytes are no frame. The stream cannot be read on.
        """
        if self._large is not None:
            return self._end_large(self._large)
        buffer = self._buffer
        if len(buffer) < self._need:
            return None
        first, flags, length, checksum, _ = _HEADER.unpack_from(buffer)
        count = (first & 0x0F) - _HEADER_WORDS
        if (
            crc32(buffer[: _PROTECTED.size]) != checksum
            or not 0 <= count <= MAX_OPTIONS
            or first != _FIRST_BYTES[count]
            or length > self._max_payload
        ):
            raise self._refusal(bytes(buffer[:HEADER_SIZE]))
        start = HEADER_SIZE + 4 * count
        if length >= LARGE and count == 1 and len(buffer) >= start:
            return self._begin_large(flags, length, _OPTIONS[1].unpack_from(buffer, HEADER_SIZE)[0])
        end = start + length
        if len(buffer) < end:
            self._need = end
            return None
        options = _OPTIONS[count].unpack_from(buffer, HEADER_SIZE)
        self._need = HEADER_SIZE
        if isinstance(buffer, bytearray):
            payload = bytes(memoryview(buffer)[start:end])
            del buffer[:end]
        else:
            payload = buffer[start:end]
            self._buffer = buffer[end:]
        return Frame(payload, flags, options)

    def _begin_large(self, flags: int, length: int, option: int) -> Frame | None:
        """Goes on with a frame in two parts, from its options on."""
        large = _LargeFrame(flags, length, min(option, length), option)
        rest = large.feed(bytes(self._buffer[HEADER_SIZE + 4 :]))
        self._buffer, self._need = rest, HEADER_SIZE
        self._large = large
        return self._end_large(large)

    def _end_large(self, large: _LargeFrame) -> Frame | None:
        if large.missing:
            return None
        self._large = None
        return large.frame()

    def _refusal(self, header: bytes) -> FrameError:
        first, _, length, checksum, _ = _HEADER.unpack(header)
        version, words = first >> 4, first & 0x0F
        if crc32(header[: _PROTECTED.size]) != checksum:
            return FrameError(
                f"a frame's header has a wrong checksum: {header.hex(' ')}. "
                "Something else than goridge v3 frames is on the relay"
            )
        if version != VERSION:
            return FrameError(f"goridge frame version {version}, this SDK speaks version {VERSION}")
        if not _HEADER_WORDS <= words <= _HEADER_WORDS + MAX_OPTIONS:
            return FrameError(f"a frame's header takes {words} words, {_HEADER_WORDS} to 13 are possible")
        return FrameError(f"a frame announces {length} bytes of payload, the limit is {self._max_payload}")


class _LargeFrame:
    """A frame whose payload is collected in two parts, neither of which is copied when it is whole.

    Args:
        flags: of the frame.
        length: bytes of its payload.
        first: bytes of the first part.
        option: its only one.

    Attributes:
        missing: bytes that are still to come.
    """

    __slots__ = ("_first", "_flags", "_head", "_option", "_tail", "missing")

    def __init__(self, flags: int, length: int, first: int, option: int) -> None:
        self._flags = flags
        self._first = first
        self._option = option
        self._head = BytesIO()
        self._tail = BytesIO()
        self.missing = length

    def feed(self, data: bytes) -> bytes:
        """Takes what it needs; returns what it does not."""
        head = self._first - self._head.tell()
        if head:
            self._head.write(data[:head])
        if len(data) > head:
            self._tail.write(memoryview(data)[head : self.missing])
        taken = min(len(data), self.missing)
        self.missing -= taken
        return data[taken:]

    def frame(self) -> Frame:
        """The frame, once nothing is missing."""
        return Frame(self._head.getvalue(), self._flags, (self._option,), self._tail.getvalue())
