"""What hooks may keep on Session and Envelope, and what they may not."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any, NamedTuple

import pytest
from aiosmtpd.smtp import LoginPassword
from hypothesis import given
from hypothesis import strategies as st

from services.smtp.attributes import decode_attributes, encode_attributes
from services.smtp.errors import HandlerFaultError

_KEYS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5) | st.binary(max_size=5)
_VALUES = st.recursive(
    _KEYS | st.floats(allow_nan=False) | st.sets(_KEYS, max_size=3) | st.frozensets(_KEYS, max_size=3),
    lambda item: st.lists(item, max_size=3) | st.tuples(item, item) | st.dictionaries(_KEYS, item, max_size=3),
    max_leaves=6,
)


def same(one: Any, other: Any) -> bool:
    """Equality that tells 1 from True and 1.0, and a tuple from a list."""
    return bool(one == other) and repr(type(one)) == repr(type(other))


@given(st.dictionaries(st.text(min_size=1, max_size=5), _VALUES, max_size=3))
def test_what_is_saved_comes_back(attributes: dict[str, Any]) -> None:
    restored = decode_attributes(encode_attributes("session", attributes))
    assert restored == attributes
    assert all(same(restored[name], value) for name, value in attributes.items())


def test_types_come_back_inside_of_one_another() -> None:
    value = {"a": [(1, {2, 3}), frozenset({(4,)})], 5: {b"k": None}, None: 1.5}
    restored = decode_attributes(encode_attributes("session", {"x": value}))["x"]
    assert restored == value
    assert type(restored["a"][0]) is tuple
    assert type(restored["a"][0][1]) is set
    assert type(restored["a"][1]) is frozenset


def test_no_attributes_take_no_space() -> None:
    assert encode_attributes("session", {}) == b""
    assert decode_attributes(b"") == {}


class _Color(enum.IntEnum):
    RED = 1


class _Pair(NamedTuple):
    left: int
    right: int


class _Text(str):
    __slots__ = ()


_ENDLESS: list[Any] = []
_ENDLESS.append(_ENDLESS)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        print,
        ...,
        1j,
        bytearray(b"x"),
        2**64,
        -(2**63) - 1,
        _Color.RED,
        _Pair(1, 2),
        _Text("x"),
        datetime(2026, 1, 1),
        [object()],
        {"key": {1: object()}},
        {(1, 2): "a key that is a tuple"},
        (1, [2, {object()}]),
        "\ud800",
        {"\ud800": 1},
        _ENDLESS,
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_is_refused_with_its_name_and_without_its_value(value: object) -> None:
    with pytest.raises(HandlerFaultError, match=r"session\.thing cannot be saved") as error:
        encode_attributes("session", {"fine": 1, "thing": value})
    assert "secret" not in str(error.value)


def test_a_password_is_not_saved() -> None:
    saved = encode_attributes("session", {"auth_data": LoginPassword(b"user", b"secret")})
    assert b"secret" not in saved
    restored = decode_attributes(saved)["auth_data"]
    assert type(restored) is LoginPassword
    assert restored == (b"user", b"")
