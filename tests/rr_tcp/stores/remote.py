"""Other processes that use a store, as a pool's workers do; also to be killed in the middle of a call."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Self

from rr_tcp.sessions import SessionStore
from rr_tcp.stores import open_store
from tests.rr_tcp.stores.backends import Backend
from tests.support.waiting import TIMEOUT

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.rr_tcp.stores.remote"])

TTL = 600.0


class Remote:
    """A process with a store of its own. `run` is called there with the store, a connection to here, and `args`."""

    def __init__(self, backend: Backend, run: Callable[..., None], *args: object) -> None:
        self._connection, child = _processes.Pipe()
        self._process = _processes.Process(
            target=_with_store, args=(child, backend.url, backend.rpc_address, run, args), daemon=True
        )
        self._process.start()
        child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()
        self._connection.close()

    def send(self, value: object) -> None:
        self._connection.send(value)

    def receive(self) -> Any:
        assert self._connection.poll(TIMEOUT), "the other process does not answer"
        return self._connection.recv()

    def kill_after(self, seconds: float) -> None:
        """Lets it go on for a time, then ends it where it is (SIGKILL)."""
        self._process.join(seconds)
        assert self._process.exitcode is None, "the other process ended by itself"
        self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def _with_store(
    connection: Connection, url: str, rpc_address: str, run: Callable[..., None], args: tuple[object, ...]
) -> None:
    store = open_store(url, rpc_address=rpc_address)
    run(store, connection, *args)
    store.close()


def obey(store: SessionStore, connection: Connection) -> None:
    """Calls the store as told, until the other side ends."""
    while True:
        try:
            method, args, kwargs = connection.recv()
        except EOFError:
            return
        connection.send(getattr(store, method)(*args, **kwargs))


def chunk(number: int) -> bytes:
    """What the writer's event `number` appends: 1 to 2000 bytes that no other event appends in this place."""
    return number.to_bytes(4, "big") * (number * 7919 % 500 + 1)


def bulk_of(state: bytes) -> bytes:
    """The bulk data that belongs to a state of `write`."""
    first, after_last = json.loads(state)
    return b"".join(map(chunk, range(first, after_last)))


def write(store: SessionStore, connection: Connection, key: str, events: int | None = None) -> None:
    """Handles events of one connection as `App` does, each in a load and a save, from where the session stands.

    The state says which chunks the bulk data has. Every 16th event drops the older ones.

    Args:
        store: where the session is.
        connection: gets a message when the first event is done, and one at the end.
        key: the session's.
        events: how many; None until somebody kills us.
    """
    done = 0
    while events is None or done < events:
        stored = store.load(key)
        first, number = json.loads(stored.state) if stored else (0, 0)
        truncate = number % 16 == 15
        state = json.dumps([number if truncate else first, number + 1]).encode()
        store.save(key, state, ttl=TTL, append=chunk(number), truncate=truncate)
        done += 1
        if done == 1:
            connection.send("begun")
    connection.send("ended")
