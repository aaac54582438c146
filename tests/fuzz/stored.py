"""What a session store returns: typed state, records with their checksum."""

from __future__ import annotations

import struct
from zlib import crc32

import msgspec

from rr_tcp.errors import SessionDataError
from rr_tcp.sessions import StateCodec
from rr_tcp.stores.record import FORMAT, decode_record, encode_record, expiry_of
from services.echo.protocol import EchoState
from services.smtp.state import SmtpState


class _Recursive(msgspec.Struct):
    """A state may be a tree, and knows not every field of a newer version."""

    name: str = ""
    children: list[_Recursive] = []


_CODECS: tuple[StateCodec[SmtpState] | StateCodec[EchoState] | StateCodec[_Recursive], ...] = (
    StateCodec(SmtpState),
    StateCodec(EchoState),
    StateCodec(_Recursive),
)


def state(data: bytes) -> None:
    """Bytes are refused, or are a state that is written and read again as the same."""
    for codec in _CODECS:
        _check(codec, data)


def _check(codec: StateCodec[SmtpState] | StateCodec[EchoState] | StateCodec[_Recursive], data: bytes) -> None:
    try:
        decoded = codec.decode(data)
    except SessionDataError:
        return
    assert codec.decode(codec.encode(decoded)) == decoded  # type: ignore[arg-type]


def record(data: bytes) -> None:
    """A record is refused or is whole; a damaged one never gives data."""
    expiry_of(data)
    try:
        decoded, expires = decode_record("key", data)
    except SessionDataError:
        pass
    else:
        assert struct.pack("<d", expires) == data[5:13]
    sealed = bytes([FORMAT]) + struct.pack("<I", crc32(data, crc32(bytes(8)))) + bytes(8) + data
    try:
        decoded, expires = decode_record("key", sealed)
    except SessionDataError:
        return
    again = encode_record(decoded, expires)  # compared as bytes: a damaged time may be NaN, which equals nothing
    assert encode_record(*decode_record("key", again)) == again
