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
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from rr_tcp.errors import FrameError

VERSION: Final = 1
HEADER_SIZE: Final = 12
_HEADER_WORDS: Final = 3

MAX_OPTIONS: Final = 10
"""RoadRunner panics on a frame with more."""

MAX_PAYLOAD: Final = 256 * 1024 * 1024
"""Bytes. The field allows 4 GiB and RoadRunner sets no limit; this one bounds what a broken peer can make us hold."""

_PROTECTED = struct.Struct("<BBI")
_UNPROTECTED = struct.Struct("<IH")


class Flag:
    """Bits of byte 1. Plain integers: the codec runs for every packet of every connection."""

    CONTROL: Final = 0x01
    RAW: Final = 0x04
    JSON: Final = 0x08
    MSGPACK: Final = 0x10
    GOB: Final = 0x20
    ERROR: Final = 0x40
    PROTO: Final = 0x80


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        payload: the bytes after the options.
        flags: a union of `Flag` bits.
        options: at most `MAX_OPTIONS` unsigned 32-bit integers. A worker's frame has one, the length of the context
            at the start of the payload; an RPC frame has two, the sequence number and the length of the method name.
    """

    payload: bytes
    flags: int = 0
    options: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """The frame as bytes; `FrameError` when it has too many options or too large a payload."""
        count = len(self.options)
        if count > MAX_OPTIONS:
            raise FrameError(f"a frame has at most {MAX_OPTIONS} options, not {count}")
        if len(self.payload) > MAX_PAYLOAD:
            raise FrameError(f"a frame's payload has at most {MAX_PAYLOAD} bytes, not {len(self.payload)}")
        protected = _PROTECTED.pack(VERSION << 4 | _HEADER_WORDS + count, self.flags, len(self.payload))
        header = protected + _UNPROTECTED.pack(crc32(protected), 0)
        if not count:
            return header + self.payload
        return b"".join((header, struct.pack(f"<{count}I", *self.options), self.payload))


class FrameDecoder:
    """Bytes in, frames out; sans-I/O, so that every short read is handled in one place.

    Memory grows with the bytes that arrived, never with what a header announces.

    Args:
        max_payload: a header that announces more bytes is refused.
    """

    __slots__ = ("_buffer", "_max_payload", "_need")

    def __init__(self, max_payload: int = MAX_PAYLOAD) -> None:
        self._buffer = bytearray()
        self._max_payload = max_payload
        self._need = HEADER_SIZE

    @property
    def in_frame(self) -> bool:
        """Whether part of a frame is waiting for the rest."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """Takes bytes as they came, any number of them."""
        self._buffer += data

    def next_frame(self) -> Frame | None:
        """The next whole frame, or None until more bytes come.

        Raises:
            FrameError: the bytes are no frame. The stream cannot be read on.
        """
        buffer = self._buffer
        if len(buffer) < self._need:
            return None
        words, flags, length = self._header(buffer)
        start = words * 4
        end = start + length
        if len(buffer) < end:
            self._need = end
            return None
        count = words - _HEADER_WORDS
        options = struct.unpack_from(f"<{count}I", buffer, HEADER_SIZE) if count else ()
        payload = bytes(memoryview(buffer)[start:end])
        del buffer[:end]
        self._need = HEADER_SIZE
        return Frame(payload, flags, options)

    def _header(self, buffer: bytearray) -> tuple[int, int, int]:
        first, flags, length = _PROTECTED.unpack_from(buffer)
        (checksum,) = struct.unpack_from("<I", buffer, _PROTECTED.size)
        if crc32(memoryview(buffer)[: _PROTECTED.size]) != checksum:
            raise FrameError(
                f"a frame's header has a wrong checksum: {bytes(buffer[:HEADER_SIZE]).hex(' ')}. "
                "Something else than goridge v3 frames is on the relay"
            )
        version, words = first >> 4, first & 0x0F
        if version != VERSION:
            raise FrameError(f"goridge frame version {version}, this SDK speaks version {VERSION}")
        if not _HEADER_WORDS <= words <= _HEADER_WORDS + MAX_OPTIONS:
            raise FrameError(f"a frame's header takes {words} words, {_HEADER_WORDS} to 13 are possible")
        if length > self._max_payload:
            raise FrameError(f"a frame announces {length} bytes of payload, the limit is {self._max_payload}")
        return words, flags, length
