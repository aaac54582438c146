"""What F16 counts, and what it takes for a failure beside what all faults of the stores do (test_hardship.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from rr_tcp.errors import SessionStoreError
from rr_tcp.stores import open_store
from tests.faults.f16_full_redis import CODES, ROOM, cases, full, live_sessions
from tests.support.servers import running_redis


def test_sessions_are_counted_until_they_end(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server, server.client() as client:
        store = open_store(server.url)
        for key, text in (("a", b"text"), ("b", b"")):
            store.save(key, b"state", ttl=60, append=text)
        assert live_sessions(client) == 2
        store.end("a", ttl=60)
        assert live_sessions(client) == 1
        client.set("rr-tcp:{c}:bulk", "a text without a session")
        assert live_sessions(client) == 2
        store.close()


def test_a_full_server_refuses_what_takes_memory_and_takes_it_afterwards(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server, server.client() as client:
        store = open_store(server.url)
        store.save("a", b"state", ttl=60)
        with full(client, ROOM["sessions"]):
            with pytest.raises(SessionStoreError, match="is full"):
                store.save("b", b"state", ttl=60)
            store.delete("a")
        assert live_sessions(client) == 0
        store.save("b", b"state", ttl=60)
        store.close()


def test_each_place_has_its_room_and_its_codes() -> None:
    assert ROOM.keys() == CODES.keys()
    assert [case.name for case in cases(quick=False)] == [f"{place} in it" for place in ROOM]
    assert [case.name for case in cases(quick=True)] == ["mails in it"]
