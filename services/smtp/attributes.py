"""What handlers keep on aiosmtpd's Session and Envelope, as bytes and back.

A session goes on in another process, so the attributes that hooks add are saved with it: MessagePack of None, bool,
int (64 bits), float, str, bytes, list, tuple, dict, set and frozenset, in one another. Anything else is refused when
the hook returns, with the attribute's name; it is never pickled and never dropped.

aiosmtpd's LoginPassword, which `session.auth_data` is after AUTH, comes back with an empty password: one that has been
verified has no business in a store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from aiosmtpd.smtp import LoginPassword

from services.smtp.errors import HandlerFaultError

_PLAIN: Final = (type(None), bool, int, float, str, bytes)

_LOGIN_PASSWORD: Final = 4

# MessagePack has arrays only; what else a sequence was is kept as the code of an extension.
_CODES: Final[Mapping[type, int]] = {tuple: 1, set: 2, frozenset: 3}
_TYPES: Final[Mapping[int, Callable[[list[Any]], object]]] = {1: tuple, 2: set, 3: frozenset}


def encode_attributes(owner: str, attributes: Mapping[str, object]) -> bytes:
    """The attributes as bytes, b"" for none.

    Args:
        owner: whose they are, for the error: "session" or "envelope".
        attributes: values by name.

    Raises:
        HandlerFaultError: a value is of another type, or too big a number, or no Unicode, or refers to itself.
    """
    if not attributes:
        return b""
    encoded = {}
    for name, value in attributes.items():
        try:
            encoded[name] = _pack(value)
            msgspec.msgpack.encode(encoded[name])
        except (TypeError, OverflowError, RecursionError, UnicodeEncodeError) as error:
            raise HandlerFaultError(
                f"the handler's attribute {owner}.{name} cannot be saved: {error}. A session goes on in another "
                "process, so attributes must be None, bool, int, float, str, bytes, or list, tuple, dict, set of "
                "these; keep anything else in the handler itself or outside the process"
            ) from error
    return msgspec.msgpack.encode(encoded)


def decode_attributes(data: bytes) -> dict[str, Any]:
    """What `encode_attributes` was given."""
    return _decode(data, dict[str, Any]) if data else {}


def _pack(value: object) -> object:
    """Marks what MessagePack cannot tell from a list. Subclasses are refused: they would come back as their base."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    match value:
        case LoginPassword(login=login):
            return msgspec.msgpack.Ext(_LOGIN_PASSWORD, msgspec.msgpack.encode([login]))
        case dict() if kind is dict:
            return {_pack_key(key): _pack(item) for key, item in value.items()}
        case list() if kind is list:
            return [_pack(item) for item in value]
        case tuple() | set() | frozenset() if kind in _CODES:
            return msgspec.msgpack.Ext(_CODES[kind], msgspec.msgpack.encode([_pack(item) for item in value]))
        case _:
            raise TypeError(f"it holds a value of type {kind.__module__}.{kind.__qualname__}")


def _pack_key(key: object) -> object:
    if type(key) not in _PLAIN:
        raise TypeError(f"it holds a dict with a key of type {type(key).__qualname__}")
    return key


def _unpack_extension(code: int, data: memoryview) -> object:
    items = _decode(bytes(data), list[Any])
    return LoginPassword(items[0], b"") if code == _LOGIN_PASSWORD else _TYPES[code](items)


def _decode(data: bytes, kind: Any) -> Any:
    return msgspec.msgpack.decode(data, type=kind, ext_hook=_unpack_extension)
