"""The echo service, cut everywhere."""

from __future__ import annotations

import base64
import json

import pytest

from rr_tcp import App, ConfigurationError, SessionStore
from rr_tcp.testing import ConnectionDriver, MemorySessionStore, check_any_split, cuts
from services.echo import EchoProtocol, EchoSettings

STREAM = b'{"a": 1}\n\r\nsecond\r\n\xff\xfe\nl\xc3\xa9\n'


def make_app(store: SessionStore, max_line: int = 100) -> App:
    app = App(store=store)
    app.add("echo", EchoProtocol(worker=4711, settings=EchoSettings(max_line=max_line)))
    return app


def echo(max_line: int = 100) -> ConnectionDriver:
    driver = ConnectionDriver(make_app(MemorySessionStore(), max_line), "echo", remote_addr="192.0.2.1:1234")
    assert driver.connect() == b""
    return driver


def answers(output: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_line_is_answered_with_the_seven_fields() -> None:
    driver = echo()
    [answer] = answers(driver.send(b"hello\r\n"))
    assert answer == {
        "remote_addr": "192.0.2.1:1234",
        "server": "echo",
        "uuid": driver.uuid,
        "body": "hello",
        "event": "DATA",
        "seq": 1,
        "worker": 4711,
    }


def test_any_split_gives_the_same_answers() -> None:
    got = answers(check_any_split(make_app, "echo", STREAM))
    assert [answer["seq"] for answer in got] == [1, 2, 3, 4, 5]
    assert [answer.get("body") for answer in got] == ['{"a": 1}', "", "second", None, "lé"]
    assert got[3]["body_base64"] == base64.b64encode(b"\xff\xfe").decode()


def test_a_last_line_without_its_end_is_answered_when_the_client_ends() -> None:
    driver = echo()
    driver.send(b"first\nsec")
    [last] = answers(driver.end(b"ond"))
    assert (last["body"], last["seq"]) == ("second", 2)


def test_an_end_without_a_rest_is_answered_by_nothing() -> None:
    driver = echo()
    driver.send(b"first\n")
    assert driver.end() == b""


@pytest.mark.parametrize(
    "pieces", [(b"x" * 101,), (b"x" * 101 + b"\n",), (b"x" * 60, b"x" * 41), (b"x" * 101 + b"\r\n", b"later\n")]
)
def test_a_line_over_the_limit_is_an_error_line_and_the_end(pieces: tuple[bytes, ...]) -> None:
    driver = echo()
    assert answers(driver.send(*pieces)) == [{"error": "line too long", "limit": 100}]
    assert driver.closed


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_at_the_limit_is_answered(end: bytes) -> None:
    for pieces in cuts(b"x" * 100 + end):
        assert len(answers(echo().send(*pieces))) == 1


def test_lines_before_one_over_the_limit_are_answered() -> None:
    driver = echo()
    answered, refused = answers(driver.send(b"ok\n" + b"x" * 101 + b"\nnever\n"))
    assert (answered["body"], refused["error"]) == ("ok", "line too long")


def test_data_of_an_expired_session_gets_an_error_line() -> None:
    driver = ConnectionDriver(echo()._app, "echo")  # never connected: the store knows nothing of it
    assert answers(driver.send(b"x\n")) == [{"error": "session expired"}]
    assert driver.closed


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_a_limit_that_is_no_positive_number_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="ECHO_MAX_LINE"):
        EchoSettings.from_env({"ECHO_MAX_LINE": value})


def test_an_empty_setting_is_the_default() -> None:
    assert EchoSettings.from_env({"ECHO_MAX_LINE": ""}) == EchoSettings()
