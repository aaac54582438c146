"""Locks: what is sent, and what is refused because it would end the server or lock for ever."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rr_tcp.errors import CodecError, ConfigurationError, LockLostError, LockNotAcquiredError, RPCTransportError
from rr_tcp.plugins.lock import Locks
from rr_tcp.protobuf import decode_fields
from rr_tcp.rpc import Codec
from tests.rr_tcp.recording import RecordingRPC

YES, NO = b"\x08\x01", b""


def sent(rpc: RecordingRPC) -> list[tuple[str, dict[int, int | bytes]]]:
    """Methods and the fields of their requests."""
    assert {codec for _, _, codec in rpc.calls} == {Codec.PROTO}
    return [(method, dict(decode_fields(body))) for method, body, _ in rpc.calls]


def test_seconds_here_are_microseconds_there() -> None:
    rpc = RecordingRPC(YES, NO, YES)
    locks = Locks(rpc)
    assert locks.lock("r", "me", ttl=1.5, wait=0.25)
    assert not locks.lock_read("r", "me", ttl=None)
    assert locks.update_ttl("r", "me", 30)
    assert sent(rpc) == [
        ("lock.Lock", {1: b"r", 2: b"me", 3: 1_500_000, 4: 250_000}),
        ("lock.LockRead", {1: b"r", 2: b"me", 3: 0, 4: 0}),
        ("lock.UpdateTTL", {1: b"r", 2: b"me", 3: 30_000_000, 4: 1_000_000}),
    ]


def test_whoever_asks_about_a_lock_waits_for_the_servers_mutexes_longer_than_its_millisecond() -> None:
    """Else the answer under load would be no, whatever is true; but an answer must come within the timeout."""
    rpc = RecordingRPC(YES, YES, YES, YES, timeout=0.5)
    locks = Locks(rpc)
    assert all((locks.release("r", "me"), locks.force_release("r"), locks.exists("r"), locks.exists("r", "me")))
    assert sent(rpc) == [
        ("lock.Release", {1: b"r", 2: b"me", 3: 0, 4: 250_000}),
        ("lock.ForceRelease", {1: b"r", 2: b"", 3: 0, 4: 250_000}),
        ("lock.Exists", {1: b"r", 2: b"*", 3: 0, 4: 250_000}),
        ("lock.Exists", {1: b"r", 2: b"me", 3: 0, 4: 250_000}),
    ]


@pytest.mark.parametrize("ttl", [0.0, -1.0, -1e-9, 1.1e9, 9.3e12, float("inf"), float("nan")])
def test_a_time_to_live_that_would_end_the_server_or_be_for_ever_is_refused(ttl: float) -> None:
    locks = Locks(RecordingRPC())
    with pytest.raises(ConfigurationError, match="time to live"):
        locks.lock("r", "me", ttl=ttl)
    with pytest.raises(ConfigurationError, match="time to live"):
        locks.lock_read("r", "me", ttl=ttl)
    with pytest.raises(ConfigurationError, match="time to live"):
        locks.update_ttl("r", "me", ttl)


@given(st.floats(min_value=0, max_value=1e9, exclude_min=True))
def test_no_time_to_live_is_rounded_to_none(ttl: float) -> None:
    """0 is a year to the server."""
    rpc = RecordingRPC(YES)
    Locks(rpc).lock("r", "me", ttl=ttl)
    ((_, fields),) = sent(rpc)
    assert isinstance(fields[3], int)
    assert 1 <= fields[3] <= 10**15
    assert fields[3] >= ttl * 1e6


@pytest.mark.parametrize(("timeout", "wait"), [(2.0, 1.51), (2.0, -0.1), (2.0, float("nan")), (0.1, 0.01)])
def test_a_wait_that_outlasts_the_client_is_refused(timeout: float, wait: float) -> None:
    """The client would give up, and the server grant the lock to nobody."""
    with pytest.raises(ConfigurationError, match="a wait for a lock"):
        Locks(RecordingRPC(timeout=timeout)).lock("r", "me", ttl=1, wait=wait)


def test_a_client_with_little_time_can_still_lock_without_a_wait() -> None:
    assert Locks(RecordingRPC(YES, timeout=0.1)).lock("r", "me", ttl=1)


def test_a_block_locks_and_releases_by_one_owner_and_the_next_by_another() -> None:
    rpc = RecordingRPC(YES, YES, YES, YES)
    locks = Locks(rpc)
    with locks.held("r", ttl=5, wait=1) as first:
        assert [method for method, _ in sent(rpc)] == ["lock.Lock"]
    with locks.held("r", ttl=5) as second:
        pass
    assert first != second
    assert [(method, fields[2]) for method, fields in sent(rpc)] == [
        ("lock.Lock", first.encode()),
        ("lock.Release", first.encode()),
        ("lock.Lock", second.encode()),
        ("lock.Release", second.encode()),
    ]


def test_a_block_is_not_entered_without_the_lock() -> None:
    rpc = RecordingRPC(NO)
    with (
        pytest.raises(LockNotAcquiredError, match=r"'r' is locked by somebody else, after a wait of 0.5 s$"),
        Locks(rpc).held("r", ttl=5, wait=0.5),
    ):
        pytest.fail("the block was entered")
    assert len(rpc.calls) == 1


def test_a_block_that_outlived_its_lock_says_so() -> None:
    with pytest.raises(LockLostError, match="is 5 s too short"), Locks(RecordingRPC(YES, NO)).held("r", ttl=5):
        pass


@pytest.mark.parametrize("released", [YES, NO])
def test_a_block_that_fails_releases_and_raises_its_own_error(released: bytes) -> None:
    rpc = RecordingRPC(YES, released)
    with pytest.raises(KeyError), Locks(rpc).held("r", ttl=5):
        raise KeyError
    assert [method for method, _, _ in rpc.calls] == ["lock.Lock", "lock.Release"]


def test_a_lost_connection_in_a_block_is_an_error() -> None:
    with pytest.raises(RPCTransportError), Locks(RecordingRPC(YES, RPCTransportError("gone"))).held("r", ttl=5):
        pass


@given(st.binary())
def test_any_answer_is_read_or_a_codec_error(answer: bytes) -> None:
    with contextlib.suppress(CodecError):
        assert isinstance(Locks(RecordingRPC(answer)).exists("r"), bool)


def test_bytes_are_no_truth_value() -> None:
    with pytest.raises(CodecError, match="truth value"):
        Locks(RecordingRPC(b"\x0a\x01\x01")).exists("r")
