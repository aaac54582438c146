"""The store of the testing kit keeps the contract of the real ones, as far as one process goes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from rr_tcp.testing import MemorySessionStore
from rr_tcp.testing.store import SWEEP_EVERY
from tests.rr_tcp.stores import test_contract as contract
from tests.rr_tcp.stores import test_scan as scanning


@dataclass
class MemoryBackend:
    """What the contract asks of a backend, without other processes."""

    store: MemorySessionStore
    ahead: float = 0.0

    def now(self) -> float:
        return self.ahead

    def lapse(self, _key: str) -> None:
        self.ahead += 4000.0


@pytest.fixture
def backend() -> MemoryBackend:
    made = MemoryBackend(MemorySessionStore(lambda: made.ahead))
    return made


@pytest.fixture
def key() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def new_key() -> Callable[[], str]:
    return lambda: str(uuid.uuid4())


def test_what_is_over_takes_no_memory() -> None:
    """A pool of one worker may run on it for months: each connection leaves a tombstone."""
    now = 0.0
    store = MemorySessionStore(lambda: now)
    for number in range(10 * SWEEP_EVERY):
        now += 1.0
        store.save(f"{number}", b"state", ttl=60)
        store.end(f"{number}", ttl=60)
    assert len(store._entries) <= 60 + SWEEP_EVERY


# The contract's tests that need neither other processes nor a vandal; pytest finds them by their names here.
test_a_session_that_expires_while_its_event_is_handled_is_not_saved_without_its_beginning = (
    contract.test_a_session_that_expires_while_its_event_is_handled_is_not_saved_without_its_beginning
)
test_a_session_that_expires_between_two_saves_of_its_event_is_not_saved_without_its_beginning = (
    contract.test_a_session_that_expires_between_two_saves_of_its_event_is_not_saved_without_its_beginning
)
test_a_scan_comes_in_pieces_and_forgets_nobody = scanning.test_a_scan_comes_in_pieces_and_forgets_nobody
test_a_scan_tells_server_beginning_and_last_save_of_what_is_open = (
    scanning.test_a_scan_tells_server_beginning_and_last_save_of_what_is_open
)
test_a_session_that_follows_a_tombstone_is_a_new_one = scanning.test_a_session_that_follows_a_tombstone_is_a_new_one
test_a_session_that_never_was_is_none = contract.test_a_session_that_never_was_is_none
test_a_session_without_bulk_data_has_none_to_read = contract.test_a_session_without_bulk_data_has_none_to_read
test_a_state_is_any_bytes = contract.test_a_state_is_any_bytes
test_a_time_to_live_that_some_backend_cannot_keep_is_refused = (
    contract.test_a_time_to_live_that_some_backend_cannot_keep_is_refused
)
test_a_working_store_passes_its_check = contract.test_a_working_store_passes_its_check
test_an_expired_session_that_nobody_loaded_starts_afresh = (
    contract.test_an_expired_session_that_nobody_loaded_starts_afresh
)
test_bulk_data_is_read_in_bounded_pieces_none_of_them_empty = (
    contract.test_bulk_data_is_read_in_bounded_pieces_none_of_them_empty
)
test_bulk_data_of_no_session_is_an_error = contract.test_bulk_data_of_no_session_is_an_error
test_delete_removes_session_and_tombstone_and_bears_neither = (
    contract.test_delete_removes_session_and_tombstone_and_bears_neither
)
test_end_leaves_a_tombstone_with_its_state_and_no_bulk_data = (
    contract.test_end_leaves_a_tombstone_with_its_state_and_no_bulk_data
)
test_end_of_a_session_that_never_was_makes_a_tombstone = contract.test_end_of_a_session_that_never_was_makes_a_tombstone
test_one_call_replaces_the_state_and_appends_to_the_bulk_data = (
    contract.test_one_call_replaces_the_state_and_appends_to_the_bulk_data
)
test_save_over_a_tombstone_starts_without_bulk_data = contract.test_save_over_a_tombstone_starts_without_bulk_data
test_save_replaces_the_state = contract.test_save_replaces_the_state
test_sessions_do_not_mix = contract.test_sessions_do_not_mix
test_truncate_drops_the_older_bulk_data_before_appending = (
    contract.test_truncate_drops_the_older_bulk_data_before_appending
)
test_truncate_of_a_session_that_never_was_is_a_plain_save = (
    contract.test_truncate_of_a_session_that_never_was_is_a_plain_save
)
