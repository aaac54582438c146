"""What `SessionStore.scan` promises, held against the stores that can list what they have."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rr_tcp.sessions import SCAN_COUNT, OpenSession
from tests.rr_tcp.stores.backends import Backend

TTL = 600.0

pytestmark = pytest.mark.parametrize("backend", ["lmdb", "redis", "redis-user", "cluster"], indirect=True)


def scanned(backend: Backend, *, count: int = SCAN_COUNT) -> dict[str, OpenSession]:
    """All that a scan tells of; the tests before left sessions of their own."""
    page = backend.store.scan(count=count)
    found = {session.key: session for session in page.sessions}
    while page.cursor:
        page = backend.store.scan(page.cursor, count=count)
        found |= {session.key: session for session in page.sessions}
    return found


def test_a_scan_tells_server_beginning_and_last_save_of_what_is_open(
    backend: Backend, new_key: Callable[[], str]
) -> None:
    store, begun, used, ended = backend.store, new_key(), new_key(), new_key()
    before = backend.now()
    for key in (begun, used, ended):
        store.save(key, b"state", ttl=TTL, server="smtp")
    between = backend.now()
    store.save(used, b"state", ttl=TTL, append=b"bulk")
    store.save(used, b"state", ttl=TTL, append=b"bulk", truncate=True)
    store.end(ended, ttl=TTL, state=b"late")
    after = backend.now()
    found = scanned(backend)
    assert ended not in found
    assert found[begun].server == found[used].server == "smtp"
    assert before <= found[begun].opened <= found[begun].saved <= between
    assert before <= found[used].opened <= between <= found[used].saved <= after


def test_a_session_that_follows_a_tombstone_is_a_new_one(backend: Backend, key: str) -> None:
    backend.store.save(key, b"one", ttl=TTL, server="smtp")
    backend.store.end(key, ttl=TTL)
    ended = backend.now()
    backend.store.save(key, b"two", ttl=TTL, server="echo")
    session = scanned(backend)[key]
    assert session.server == "echo"
    assert session.opened >= ended


def test_a_scan_comes_in_pieces_and_forgets_nobody(backend: Backend, new_key: Callable[[], str]) -> None:
    """Sessions come and go meanwhile; those that stay are told of."""
    store, keys, passing = backend.store, {new_key() for _ in range(300)}, new_key()
    for key in keys:
        store.save(key, b"state", ttl=TTL, append=b"bulk", server="smtp")
    page = store.scan(count=10)
    found = {session.key for session in page.sessions}
    while page.cursor:
        assert len(page.sessions) <= 50, "a call is to look at some sessions only"
        store.save(passing, b"state", ttl=TTL)
        page = store.scan(page.cursor, count=10)
        store.delete(passing)
        found |= {session.key for session in page.sessions}
    assert keys <= found


def test_a_scan_goes_past_what_is_damaged_and_what_is_over(backend: Backend, new_key: Callable[[], str]) -> None:
    whole, scribbled, over = new_key(), new_key(), new_key()
    for key in (scribbled, over):
        backend.store.save(key, b"state", ttl=TTL, server="smtp")
    backend.scribble(scribbled, b"no session")
    backend.lapse(over)
    backend.store.save(whole, b"state", ttl=TTL, server="smtp")
    found = scanned(backend)
    assert whole in found
    assert not {scribbled, over} & found.keys()
