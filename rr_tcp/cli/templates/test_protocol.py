"""The service sample, cut everywhere."""

from __future__ import annotations

import pytest

from rr_tcp import App, ConfigurationError, SessionStore
from rr_tcp.testing import ConnectionDriver, MemorySessionStore, check_any_split
from services.sample import SampleProtocol, SampleSettings


def make_app(store: SessionStore, max_line: int = 100) -> App:
    app = App(store=store)
    app.add("sample", SampleProtocol(SampleSettings(max_line=max_line)))
    return app


def connect(max_line: int = 100) -> ConnectionDriver:
    driver = ConnectionDriver(make_app(MemorySessionStore(), max_line), "sample")
    assert driver.connect() == b""
    return driver


def test_any_split_gives_the_same_answers() -> None:
    assert check_any_split(make_app, "sample", b"first\n\r\nthird\r\n") == b"1: first\n2: \n3: third\n"


def test_connections_are_counted_each_for_itself() -> None:
    one, other = connect(), connect()
    assert one.send(b"a\nb\n") == b"1: a\n2: b\n"
    assert other.send(b"c\n") == b"1: c\n"


def test_a_line_over_the_limit_is_an_error_and_the_end() -> None:
    driver = connect(max_line=5)
    assert driver.send(b"12345\n", b"123456\n", b"never\n") == b"1: 12345\nerror: line too long\n"
    assert driver.closed


def test_data_of_an_expired_session_is_an_error_and_the_end() -> None:
    never_connected = ConnectionDriver(make_app(MemorySessionStore()), "sample")
    assert never_connected.send(b"x\n") == b"error: session expired\n"
    assert never_connected.closed


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_limit_that_is_no_positive_number_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="SAMPLE_MAX_LINE"):
        SampleSettings.from_env({"SAMPLE_MAX_LINE": value})
