"""The service sample, cut everywhere."""

from __future__ import annotations

import pytest

from rr_tcp import App, ConfigurationError
from rr_tcp.testing import ConnectionDriver, MemorySessionStore, cuts
from services.sample import SampleProtocol, SampleSettings

STREAM = b"first\n\r\nthird\r\n"
ANSWERS = b"1: first\n2: \n3: third\n"


def connect(max_line: int = 100) -> ConnectionDriver:
    app = App(store=MemorySessionStore())
    app.add("sample", SampleProtocol(SampleSettings(max_line=max_line)))
    driver = ConnectionDriver(app, "sample")
    assert driver.connect() == b""
    return driver


@pytest.mark.parametrize("pieces", list(cuts(STREAM)), ids=lambda pieces: "+".join(str(len(p)) for p in pieces))
def test_any_split_gives_the_same_answers(pieces: tuple[bytes, ...]) -> None:
    assert connect().send(*pieces) == ANSWERS


def test_connections_are_counted_each_for_itself() -> None:
    one, other = connect(), connect()
    assert one.send(b"a\nb\n") == b"1: a\n2: b\n"
    assert other.send(b"c\n") == b"1: c\n"


def test_a_line_over_the_limit_is_an_error_and_the_end() -> None:
    driver = connect(max_line=5)
    assert driver.send(b"12345\n", b"123456\n", b"never\n") == b"1: 12345\nerror: line too long\n"
    assert driver.closed


def test_data_of_an_expired_session_is_an_error_and_the_end() -> None:
    app = App(store=MemorySessionStore())
    app.add("sample", SampleProtocol())
    driver = ConnectionDriver(app, "sample")  # never connected: the store knows nothing of it
    assert driver.send(b"x\n") == b"error: session expired\n"
    assert driver.closed


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_limit_that_is_no_positive_number_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="SAMPLE_MAX_LINE"):
        SampleSettings.from_env({"SAMPLE_MAX_LINE": value})
