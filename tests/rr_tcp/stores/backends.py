"""What the contract suite needs of each backend beside its store: a URL, and hands on what it has stored."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rr_tcp.errors import RPCServiceError
from rr_tcp.plugins.kv import KV
from rr_tcp.rpc import RPC, Codec
from rr_tcp.stores.lmdb_keys import chunk_key, client_key, session_key
from rr_tcp.stores.lmdb_store import LMDBStore
from rr_tcp.stores.lmdb_sweep import drop_bulk
from rr_tcp.stores.open import CheckedSessionStore, open_store
from rr_tcp.stores.record import Record, encode_record
from rr_tcp.stores.redis_store import RedisStore
from rr_tcp.stores.roadrunner_store import RoadRunnerStore
from tests.support.redis_cluster import RedisClusterServers
from tests.support.servers import RedisServer

FAR = 10.0**10
"""Seconds since the epoch, centuries from now."""


class Clock:
    """The wall clock, which a test can put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Backend(ABC):
    """One store and what a vandal could do to it.

    Attributes:
        url: for `open_store` in another process.
        rpc_address: likewise.
        store: opened for this process.
    """

    def __init__(self, url: str, store: CheckedSessionStore, rpc_address: str = "tcp://127.0.0.1:1") -> None:
        self.url = url
        self.store = store
        self.rpc_address = rpc_address

    def close(self) -> None:
        """Gives back what is open."""
        self.store.close()

    def now(self) -> float:
        """What the store takes for the time."""
        return time.time()

    def pass_time(self, client: str, seconds: float) -> None:
        """So much time goes by for what is counted of a client."""
        raise NotImplementedError

    def client_keys(self, client: str) -> int:
        """How many keys the store has for a client."""
        raise NotImplementedError

    @abstractmethod
    def lapse(self, key: str) -> None:
        """The session's time is over now."""

    @abstractmethod
    def alter_state(self, key: str) -> None:
        """One bit of the stored state changes."""

    @abstractmethod
    def alter_format(self, key: str) -> None:
        """The session is stored as another version would."""

    @abstractmethod
    def scribble(self, key: str, data: bytes) -> None:
        """Something else is stored where the session is."""

    @abstractmethod
    def lose_bulk(self, key: str) -> None:
        """The bulk data goes, the state stays."""

    @abstractmethod
    def lose_middle(self, key: str) -> None:
        """Of the bulk data of three saves, what the second one appended goes; all have the same size."""

    @abstractmethod
    def bytes_written(self) -> int:
        """Bytes that the store has written, or sent to be written, so far."""


class _Records(Backend):
    """Backends that store a record under one key and read the clock themselves."""

    clock: Clock

    def now(self) -> float:
        return self.clock()

    @abstractmethod
    def read(self, key: str) -> bytes: ...

    def lapse(self, key: str) -> None:
        assert self.read(key), "there is no session whose time could be over"
        self.clock.ahead += 4000.0

    def alter_state(self, key: str) -> None:
        data = bytearray(self.read(key))
        data[-1] ^= 1
        self.scribble(key, bytes(data))

    def alter_format(self, key: str) -> None:
        self.scribble(key, b"\2" + encode_record(Record(b"state"), FAR)[1:])


class LMDBBackend(_Records):
    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self._change = LMDBStore(directory, clock=self.clock)
        super().__init__(f"lmdb://{directory}", self._change)

    def read(self, key: str) -> bytes:
        with self._change._table.transaction() as txn:
            data = txn.get(session_key(key))
        assert data is not None
        return data

    def scribble(self, key: str, data: bytes) -> None:
        with self._change._table.transaction(write=True) as txn:
            txn.put(session_key(key), data)

    def pass_time(self, client: str, seconds: float) -> None:  # noqa: ARG002 - time is the same for all
        self.clock.ahead += seconds

    def client_keys(self, client: str) -> int:
        self._change.sweep()
        with self._change._table.transaction() as txn:
            return int(txn.get(client_key(client)) is not None)

    def lose_bulk(self, key: str) -> None:
        with self._change._table.transaction(write=True) as txn:
            drop_bulk(txn, session_key(key))

    def lose_middle(self, key: str) -> None:
        with self._change._table.transaction(write=True) as txn:
            assert txn.delete(chunk_key(session_key(key), 1))

    def bytes_written(self) -> int:
        counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(counters["wchar"])


class RedisBackend(Backend):
    def __init__(self, servers: RedisServer | RedisClusterServers) -> None:
        store = open_store(servers.url)
        super().__init__(servers.url, store)
        self._servers = servers
        self.clock = Clock()
        assert isinstance(store, RedisStore)
        store._clock = store._clients._clock = self.clock

    def _run(self, *command: str | bytes) -> Any:
        with contextlib.closing(self._servers.client()) as client:
            execute: Callable[..., object] = client.execute_command
            return execute(*command)

    def pass_time(self, client: str, seconds: float) -> None:
        """Redis has a clock of its own, which nobody can put forward: keys expire as much earlier."""
        self.clock.ahead += seconds
        for key in _client_keys(client):
            if (left := self._run("PTTL", key)) > 0:
                self._run("PEXPIRE", key, str(max(0, left - round(seconds * 1000))))

    def client_keys(self, client: str) -> int:
        return sum(self._run("EXISTS", key) for key in _client_keys(client))

    def lapse(self, key: str) -> None:
        self._run("DEL", f"rr-tcp:{{{key}}}", f"rr-tcp:{{{key}}}:bulk")

    def alter_state(self, key: str) -> None:
        self._run("HSET", f"rr-tcp:{{{key}}}", "state", b"damage")

    def alter_format(self, key: str) -> None:
        self._run("HSET", f"rr-tcp:{{{key}}}", "format", "2")

    def scribble(self, key: str, data: bytes) -> None:
        self._run("SET", f"rr-tcp:{{{key}}}", data)

    def lose_bulk(self, key: str) -> None:
        self._run("DEL", f"rr-tcp:{{{key}}}:bulk")

    def lose_middle(self, key: str) -> None:
        """A string has no middle that could go alone."""
        bulk = self.store.read_bulk(key)
        self._run("SET", f"rr-tcp:{{{key}}}:bulk", bulk[: len(bulk) * 2 // 3])

    def bytes_written(self) -> int:
        servers = [self._servers] if isinstance(self._servers, RedisServer) else self._servers.masters
        return sum(_bytes_received(server) for server in servers)


def _client_keys(client: str) -> list[str]:
    return [f"rr-tcp:client:{{{client}}}:{part}" for part in ("open", "minute")]


def _bytes_received(server: RedisServer) -> int:
    with contextlib.closing(server.client()) as client:
        info = client.info("stats")
    assert isinstance(info, dict)
    return int(info["total_net_input_bytes"])


class _CountingRPC(RPC):
    sent = 0

    def exchange(self, calls: Sequence[tuple[str, bytes]], codec: Codec) -> list[bytes | RPCServiceError]:
        self.sent += sum(len(body) for _, body in calls)
        return super().exchange(calls, codec)


class RoadRunnerBackend(_Records):
    def __init__(self, address: str) -> None:
        self.clock = Clock()
        store = RoadRunnerStore("sessions", address, clock=self.clock)
        self._counting = store._rpc = _CountingRPC(address)
        store._kv = KV(self._counting, "sessions", clock=self.clock)
        super().__init__("rrkv://sessions", store, address)
        self._rpc = RPC(address)
        self._kv = KV(self._rpc, "sessions")

    def read(self, key: str) -> bytes:
        return self._kv.get_many([f"rr-tcp:{key}"])[f"rr-tcp:{key}"]

    def scribble(self, key: str, data: bytes) -> None:
        self._kv.set_many({f"rr-tcp:{key}": data}, 3600.0)

    def lose_bulk(self, key: str) -> None:
        self._kv.delete([f"rr-tcp.bulk.0:{key}"])

    def lose_middle(self, key: str) -> None:
        self._kv.delete([f"rr-tcp.bulk.1:{key}"])

    def bytes_written(self) -> int:
        return self._counting.sent

    def close(self) -> None:
        super().close()
        self._rpc.close()
