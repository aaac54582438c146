"""The fuzz targets hold on their seeds and on some thousand changed ones, the same in every run.

`make fuzz` goes on from there, guided by coverage.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.pieces import stream_in_pieces
from tests.fuzz.targets import SEEDS, TARGETS, seeds


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """What a target provokes would be logged thousands of times."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def run_seeds(name: str) -> None:
    for data in seeds(name):
        TARGETS[name](data)


@st.composite
def _changed(draw: st.DrawFn, name: str) -> bytes:
    """A seed with some bytes replaced by others, or by a part of another seed."""
    data = draw(st.sampled_from(seeds(name)))
    for _ in range(draw(st.integers(0, 4))):
        start, stop = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        filling = draw(st.one_of(st.binary(max_size=8), st.sampled_from(seeds(name)).map(lambda seed: seed[:200])))
        data = data[:start] + filling + data[stop if draw(st.booleans()) else start :]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_holds(name: str) -> None:
    assert seeds(name)
    run_seeds(name)


def test_every_seed_has_a_target() -> None:
    assert {path.name for path in SEEDS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_seeds_and_random_bytes_hold(name: str) -> None:
    @settings(max_examples=400, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(_changed(name), st.binary(max_size=300)))
    def holds(data: bytes) -> None:
        TARGETS[name](data)

    holds()


@pytest.mark.parametrize("name", ["frames", "lines", "proxy_header", "smtp"])
def test_a_target_finds_what_it_is_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the pieces out of order, no split gives what the whole gives: a target that holds then, checks nothing."""

    def reversed_pieces(data: bytes) -> tuple[bytes, list[bytes]]:
        stream, _ = stream_in_pieces(data)
        return stream, [stream[len(stream) // 2 :], stream[: len(stream) // 2]]

    monkeypatch.setattr("tests.fuzz.wire.stream_in_pieces", reversed_pieces)
    monkeypatch.setattr("tests.fuzz.streams.stream_in_pieces", reversed_pieces)
    with pytest.raises(AssertionError):
        run_seeds(name)
