"""The stream of one client cut into events in many ways, and the check that the cuts make no difference."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final

from rr_tcp.app import App
from rr_tcp.sessions import SessionStore, StoredSession
from rr_tcp.testing.driver import ConnectionDriver
from rr_tcp.testing.store import MemorySessionStore

_UUID: Final = "00000000-0000-4000-8000-000000000000"
"""The same for every split, so that a protocol may show it."""

_SHOWN: Final = 300
"""Characters of a result in the error of a split that gives another one."""


def cuts(data: bytes) -> list[tuple[bytes, ...]]:
    """Every way to cut `data` in two, the whole, and byte by byte."""
    in_two = [(data[:position], data[position:]) for position in range(1, len(data))]
    return [(data,), *in_two, tuple(data[i : i + 1] for i in range(len(data)))]


def check_any_split(
    make_app: Callable[[SessionStore], App],
    server: str,
    data: bytes,
    *,
    splits: Callable[[bytes], Iterable[Sequence[bytes]]] = cuts,
    remote_addr: str = "127.0.0.1:50000",
) -> bytes:
    """Checks that it makes no difference how the bytes of a client are cut into events.

    For each split a client connects and sends. Two Apps, as two worker processes, take its events in turns and share
    nothing but the session store. What the client gets, whether it is closed, and the session that rests in the end
    must be those of the data in one piece.

    Args:
        make_app: makes an App on a session store, twice for each split. What else its protocols use (a clock, ids) must
            be the same in all. Where they share more than the sessions, a database say, write the loop over `cuts`.
        server: the server's name.
        data: what the client sends.
        splits: the ways to cut it.
        remote_addr: the client's `host:port`.

    Returns:
        What the client gets for the data, without what it gets when it connects.

    Raises:
        AssertionError: a split gives something else. It says which one, and both results.
    """
    expected = _outcome(make_app, server, (data,), remote_addr)
    for pieces in splits(data):
        outcome = _outcome(make_app, server, pieces, remote_addr)
        if outcome != expected:
            raise AssertionError(_difference(pieces, outcome, expected))
    return expected.answers


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of a client's bytes."""

    greeting: bytes
    answers: bytes
    closed: bool
    session: StoredSession | None
    bulk: bytes


def _outcome(
    make_app: Callable[[SessionStore], App], server: str, pieces: Sequence[bytes], remote_addr: str
) -> _Outcome:
    store = MemorySessionStore()
    with contextlib.ExitStack() as stack:
        apps = [make_app(store), make_app(store)]
        for app in apps:
            stack.callback(app.close)
        workers = itertools.cycle(apps)
        client = ConnectionDriver(lambda: next(workers), server, remote_addr=remote_addr, connection_uuid=_UUID)
        greeting = client.connect()
        answers = client.send(*pieces)
        session = store.load(_UUID)
        bulk = store.read_bulk(_UUID) if session else b""
    return _Outcome(greeting, answers, client.closed, session, bulk)


def _difference(pieces: Sequence[bytes], outcome: _Outcome, expected: _Outcome) -> str:
    lines = [f"cut into pieces of {', '.join(str(len(piece)) for piece in pieces)[:_SHOWN]} bytes:"]
    for field in fields(_Outcome):
        found, wanted = getattr(outcome, field.name), getattr(expected, field.name)
        if found != wanted:
            lines.append(f"  {field.name}: {_shown(found, wanted)}")
            lines.append(f"  {' ' * len(field.name)}  {_shown(wanted, found)} in one piece")
    return "\n".join(lines)


def _shown(value: object, other: object) -> str:
    """A value; long bytes from a little before the place where they differ from the other ones."""
    if isinstance(value, bytes) and isinstance(other, bytes) and len(value) > _SHOWN:
        same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(value, other, strict=False))
        start = max(sum(1 for _ in same) - _SHOWN // 10, 0)
        return f"[{start}:] {value[start : start + _SHOWN]!r}"
    return f"{value!r:.{_SHOWN}}"
