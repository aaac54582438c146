"""What `ClientStore` promises, held against the stores that can count."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rr_tcp.admission import CHECKS, COUNTED, UNCHECKED, WINDOW, ClientStore, Verdict
from tests.rr_tcp.stores.backends import Backend
from tests.rr_tcp.stores.remote import Remote, obey

TTL = 7200.0

pytestmark = pytest.mark.parametrize("backend", ["lmdb", "redis", "redis-user", "cluster"], indirect=True)


class Client:
    """An address that no other test has, and its limits."""

    def __init__(
        self, backend: Backend, name: str, *, connections: int | None = None, per_minute: int | None = None
    ) -> None:
        assert isinstance(backend.store, ClientStore)
        self.backend, self.store, self.name = backend, backend.store, name
        self.limits = {"connections": connections, "per_minute": per_minute}

    def connect(self, key: str) -> Verdict:
        """A connection, whose session is saved if it may stay."""
        verdict = self.store.admit(self.name, key, **self.limits)
        if verdict is Verdict.ADMITTED:
            self.backend.store.save(key, b"state", ttl=TTL, server="smtp")
        return verdict

    def close(self, key: str) -> None:
        self.store.leave(self.name, key)
        self.backend.store.end(key, ttl=TTL)


def test_one_too_many_is_refused_until_another_leaves(backend: Backend, new_key: Callable[[], str]) -> None:
    client, keys = Client(backend, new_key(), connections=3), [new_key() for _ in range(3)]
    assert [client.connect(key) for key in keys] == [Verdict.ADMITTED] * 3
    assert client.connect(new_key()) is Verdict.TOO_MANY
    client.close(keys[1])
    assert client.connect(keys[1]) is Verdict.ADMITTED
    assert client.connect(new_key()) is Verdict.TOO_MANY


def test_one_client_does_not_count_for_another(backend: Backend, new_key: Callable[[], str]) -> None:
    one, other = Client(backend, new_key(), connections=1), Client(backend, new_key(), connections=1)
    assert one.connect(new_key()) is Verdict.ADMITTED
    assert other.connect(new_key()) is Verdict.ADMITTED


def test_what_was_never_counted_may_leave(backend: Backend, new_key: Callable[[], str]) -> None:
    client = Client(backend, new_key(), connections=1)
    client.store.leave(client.name, new_key())
    client.connect(new_key())
    client.store.leave(client.name, new_key())
    assert client.connect(new_key()) is Verdict.TOO_MANY


def test_too_many_in_a_minute_are_refused_until_it_is_over(backend: Backend, new_key: Callable[[], str]) -> None:
    client = Client(backend, new_key(), per_minute=3)
    for _ in range(3):
        key = new_key()
        assert client.connect(key) is Verdict.ADMITTED
        client.close(key)
    assert client.connect(new_key()) is Verdict.TOO_OFTEN
    backend.pass_time(client.name, WINDOW)
    assert client.connect(new_key()) is Verdict.ADMITTED


def test_without_limits_nobody_is_refused(backend: Backend, new_key: Callable[[], str]) -> None:
    client = Client(backend, new_key())
    assert {client.connect(new_key()) for _ in range(20)} == {Verdict.ADMITTED}


def test_connections_whose_end_was_not_reported_count_no_more(backend: Backend, new_key: Callable[[], str]) -> None:
    """A worker that dies takes the CLOSE event with it. Its session goes, with the idle limit or its time."""
    client, keys = Client(backend, new_key(), connections=3), [new_key() for _ in range(3)]
    for key in keys:
        client.connect(key)
    backend.store.delete(keys[0])
    backend.store.end(keys[1], ttl=TTL)
    assert client.connect(new_key()) is Verdict.TOO_MANY, "a session may not be saved yet"
    backend.pass_time(client.name, UNCHECKED + 1)
    assert client.connect(new_key()) is Verdict.ADMITTED
    assert client.connect(new_key()) is Verdict.ADMITTED
    assert client.connect(new_key()) is Verdict.TOO_MANY, "the third one is open"


def test_the_lost_are_found_behind_those_that_are_open(backend: Backend, new_key: Callable[[], str]) -> None:
    """Some are looked at for each attempt, others for the next one."""
    count = 3 * CHECKS
    client, keys = Client(backend, new_key(), connections=count), [new_key() for _ in range(count)]
    for key in keys:
        assert client.connect(key) is Verdict.ADMITTED
    backend.pass_time(client.name, UNCHECKED + 1)
    backend.store.delete(keys[-1])
    verdicts = [client.connect(new_key()) for _ in range(4)]
    assert verdicts.count(Verdict.ADMITTED) == 1


def test_nothing_is_left_of_clients_that_went(backend: Backend, new_key: Callable[[], str]) -> None:
    client, key = Client(backend, new_key(), connections=3, per_minute=3), new_key()
    client.connect(key)
    assert backend.client_keys(client.name)
    client.close(key)
    backend.pass_time(client.name, WINDOW)
    assert not backend.client_keys(client.name)


def test_what_is_left_of_the_lost_has_an_end(backend: Backend, new_key: Callable[[], str]) -> None:
    client = Client(backend, new_key(), connections=3, per_minute=3)
    client.connect(new_key())
    backend.pass_time(client.name, COUNTED)
    assert not backend.client_keys(client.name)


def test_many_workers_admit_no_more_than_one_would(backend: Backend, new_key: Callable[[], str]) -> None:
    name, keys = new_key(), [new_key() for _ in range(40)]
    with Remote(backend, obey) as one, Remote(backend, obey) as two:
        for number, key in enumerate(keys):
            (one, two)[number % 2].send(("admit", (name, key), {"connections": 7, "per_minute": None}))
        verdicts = [(one, two)[number % 2].receive() for number in range(len(keys))]
    assert verdicts.count(Verdict.ADMITTED) == 7
