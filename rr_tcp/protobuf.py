"""The part of Protocol Buffers' wire format that RoadRunner's RPC messages need.

Only varints and length-delimited fields are written and read; fields of fixed width are skipped, groups (obsolete) are
refused. Source: the encoding guide of Protocol Buffers; the messages of RoadRunner's api/v4 4.24.0 (kv.v1,
lock.v1beta1, status.v1beta1, applogger.v1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rr_tcp.errors import CodecError

_VARINT: Final = 0
_LENGTH_DELIMITED: Final = 2
_FIXED_WIDTH: Final = {1: 8, 5: 4}  # wire type -> bytes

_MAX_VARINT: Final = 2**64 - 1
_MAX_VARINT_BYTES: Final = 10
_MAX_FIELD: Final = 2**29 - 1


def encode_varint(value: int) -> bytes:
    """An integer of 0 to 2**64 - 1 as base-128 varint; `CodecError` for others."""
    if not 0 <= value <= _MAX_VARINT:
        raise CodecError(f"{value} does not fit an unsigned 64-bit field")
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_field(number: int, value: int | bytes | str) -> bytes:
    """One field: an integer as varint, bytes and text (as UTF-8) length-delimited.

    Raises:
        CodecError: the field's number or an integer is out of range, or text has no UTF-8 form.
    """
    if not 0 < number <= _MAX_FIELD:
        raise CodecError(f"{number} is no field number: 1 to {_MAX_FIELD}")
    match value:
        case int():
            return encode_varint(number << 3 | _VARINT) + encode_varint(value)
        case str():
            try:
                value = value.encode()
            except UnicodeEncodeError as error:
                raise CodecError(f"text of field {number} has no UTF-8 form: {error.reason}") from error
    return b"".join((encode_varint(number << 3 | _LENGTH_DELIMITED), encode_varint(len(value)), value))


def decode_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message in their order: field number and value, an integer (varint) or bytes.

    Raises:
        CodecError: the bytes are no message. Fields before the damage have been given out already.
    """
    position = 0
    while position < len(data):
        tag, position = _decode_varint(data, position)
        number, wire_type = tag >> 3, tag & 0x07
        if not 0 < number <= _MAX_FIELD:
            raise CodecError(f"a message has a field of number {number}")
        if wire_type == _VARINT:
            value, position = _decode_varint(data, position)
            yield number, value
        elif wire_type == _LENGTH_DELIMITED:
            length, start = _decode_varint(data, position)
            position = _skip(data, start, length)
            yield number, data[start:position]
        elif wire_type in _FIXED_WIDTH:
            position = _skip(data, position, _FIXED_WIDTH[wire_type])
        else:
            raise CodecError(f"field {number} of a message has wire type {wire_type}, which nobody writes")


def _decode_varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(data[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * count
        if byte <= 0x7F:
            if value > _MAX_VARINT:
                break
            return value, position + count + 1
    raise CodecError(f"a message has no whole 64-bit varint at byte {position}")


def _skip(data: bytes, position: int, length: int) -> int:
    if length > len(data) - position:
        raise CodecError(f"a message ends at byte {len(data)}, in a field of {length} bytes that starts at {position}")
    return position + length
