"""The store of the testing kit keeps the contract of the real ones, as far as one process goes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from rr_tcp.testing import MemorySessionStore

__all__ = [name for name in dir() if name.startswith("test_")]


@dataclass
class MemoryBackend:
    """What the contract asks of a backend, without other processes."""

    store: MemorySessionStore
    ahead: float = 0.0

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
