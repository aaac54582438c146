"""RoadRunner's KV plugin, for real, with its memory driver."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rr_tcp.errors import CodecError, ConfigurationError, RPCServiceError
from rr_tcp.plugins.kv import KV, _items
from rr_tcp.rpc import RPC
from tests.support.servers import running_roadrunner
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def rpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RPC]:
    with running_roadrunner(tmp_path_factory.mktemp("rr")) as address, contextlib.closing(RPC(address)) as client:
        yield client


@pytest.fixture
def kv(rpc: RPC) -> KV:
    return KV(rpc, "sessions")


@pytest.fixture
def key() -> str:
    return str(uuid.uuid4())


def test_values_are_any_bytes_and_keys_any_text(kv: KV, key: str) -> None:
    items = {f"{key} empty": b"", f"{key} bytes": bytes(range(256)), f"{key} ключ": b"\r\n" * 500_000}
    kv.set_many(items)
    assert kv.get_many([*items, f"{key} missing"]) == items
    assert kv.has([*items, f"{key} missing"]) == set(items)


def test_set_replaces(kv: KV, key: str) -> None:
    kv.set_many({key: b"one"}, 60.0)
    kv.set_many({key: b"two"})
    assert kv.get_many([key]) == {key: b"two"}


def test_delete_takes_many_keys_and_missing_ones(kv: KV, key: str) -> None:
    kv.set_many({f"{key}{number}": b"" for number in range(100)})
    kv.delete([key, *(f"{key}{number}" for number in range(99))])
    assert kv.has(f"{key}{number}" for number in range(100)) == {f"{key}99"}


def test_no_keys_are_no_call(kv: KV) -> None:
    """The server answers an empty list with an error."""
    kv.set_many({})
    kv.delete([])
    assert kv.get_many([]) == {}
    assert kv.has([]) == set()


def test_a_key_lives_as_long_as_asked_and_not_for_ever(kv: KV, key: str) -> None:
    kv.set_many({key: b"value"}, 2.0)
    start = time.monotonic()
    wait_until(lambda: not kv.has([key]), timeout=10.0)
    assert time.monotonic() - start > 2.0


def test_setting_again_starts_the_time_to_live_anew(kv: KV, key: str) -> None:
    first, again = f"{key} first", f"{key} again"
    kv.set_many({first: b""}, 2.0)

    def first_is_over() -> bool:
        kv.set_many({again: b""}, 2.0)
        return not kv.has([first])

    wait_until(first_is_over, timeout=10.0)
    assert kv.has([again]) == {again}
    wait_until(lambda: not kv.has([again]), timeout=10.0)


@pytest.mark.parametrize("ttl", [1.99, 0.0, -1.0, float("nan"), float("inf"), 1e12])
def test_a_time_to_live_that_the_server_would_not_keep_is_refused(kv: KV, key: str, ttl: float) -> None:
    with pytest.raises(ConfigurationError, match="time to live"):
        kv.set_many({key: b"value"}, ttl)
    assert kv.has([key]) == set()


def test_an_unknown_storage_is_an_error_of_the_service(rpc: RPC) -> None:
    kv = KV(rpc, "nowhere")
    for call in (kv.get_many, kv.has, kv.delete, lambda keys: kv.set_many(dict.fromkeys(keys, b""))):
        with pytest.raises(RPCServiceError, match="no such storage: nowhere"):
            call(["key"])


@given(st.binary())
def test_any_answer_is_read_or_a_codec_error(answer: bytes) -> None:
    try:
        for found, value in _items(answer):
            assert isinstance(found, str)
            assert isinstance(value, bytes)
    except CodecError:
        pass
