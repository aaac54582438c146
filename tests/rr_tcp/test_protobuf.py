"""The wire format against the encoding guide's examples, and against any bytes at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rr_tcp.errors import CodecError
from rr_tcp.protobuf import decode_fields, encode_field, encode_varint

FIELD = st.tuples(st.integers(1, 2**29 - 1), st.one_of(st.integers(0, 2**64 - 1), st.binary()))


@pytest.mark.parametrize(
    ("number", "value", "encoded"),
    [(1, 150, "08 96 01"), (2, "testing", "12 07 74 65 73 74 69 6e 67"), (3, b"", "1a 00"), (16, 0, "80 01 00")],
)
def test_fields_are_as_in_the_encoding_guide(number: int, value: int | bytes | str, encoded: str) -> None:
    assert encode_field(number, value) == bytes.fromhex(encoded)


@given(st.lists(FIELD))
def test_what_is_encoded_is_decoded(fields: list[tuple[int, int | bytes]]) -> None:
    message = b"".join(encode_field(number, value) for number, value in fields)
    assert list(decode_fields(message)) == fields


@given(st.text(st.characters(codec="utf-8")))
def test_text_is_utf_8(text: str) -> None:
    assert list(decode_fields(encode_field(1, text))) == [(1, text.encode())]


@given(st.binary())
def test_any_bytes_are_fields_or_a_codec_error(data: bytes) -> None:
    """What comes from the network raises nothing else."""
    try:
        for number, value in decode_fields(data):
            assert 0 < number < 2**29
            assert isinstance(value, bytes) or 0 <= value < 2**64
    except CodecError:
        pass


@given(st.lists(FIELD, min_size=1), st.data())
def test_a_message_cut_inside_a_field_is_refused(fields: list[tuple[int, int | bytes]], data: st.DataObject) -> None:
    encoded = [encode_field(number, value) for number, value in fields]
    cut = data.draw(st.integers(1, len(encoded[-1]) - 1))
    with pytest.raises(CodecError):
        list(decode_fields(b"".join(encoded[:-1]) + encoded[-1][:cut]))


def test_fields_of_fixed_width_are_skipped() -> None:
    """A newer message may have them; no message that is read here does."""
    fixed64, fixed32 = b"\x09" + bytes(8), b"\x15" + bytes(4)
    assert list(decode_fields(fixed64 + encode_field(3, 7) + fixed32)) == [(3, 7)]


@pytest.mark.parametrize(
    "damaged",
    [
        "0b 0c",  # a group
        "0e",  # wire type 6
        "00 01",  # field number 0
        "09 00 00",  # a fixed64 that is cut
        "08 ff ff ff ff ff ff ff ff ff 7f",  # a varint over 64 bits
        "08 80 80 80 80 80 80 80 80 80 80 00",  # a varint of eleven bytes
        "0a ff ff ff ff ff ff ff ff ff 01 00",  # a length of 2**64 - 1
    ],
)
def test_damage_is_refused(damaged: str) -> None:
    with pytest.raises(CodecError):
        list(decode_fields(bytes.fromhex(damaged)))


@pytest.mark.parametrize("value", [-1, 2**64])
def test_an_integer_out_of_range_is_refused(value: int) -> None:
    with pytest.raises(CodecError, match="64-bit"):
        encode_varint(value)


@pytest.mark.parametrize("number", [0, -1, 2**29])
def test_a_field_number_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(CodecError, match="field number"):
        encode_field(number, 1)


def test_text_without_a_utf_8_form_is_refused() -> None:
    with pytest.raises(CodecError, match="UTF-8"):
        encode_field(1, "\ud800")
