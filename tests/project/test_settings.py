"""Settings that all workers share: what they are when nothing is set, and what a slip is told."""

from __future__ import annotations

import pytest

from rr_tcp import ClientLimits, ConfigurationError, ConnectionLimits
from workers.settings import Settings, connection_limits


def test_limits_are_those_of_their_server() -> None:
    env = {"SMTP_IDLE_LIMIT": "600", "SMTP_AGE_LIMIT": "", "ECHO_AGE_LIMIT": "60"}
    assert connection_limits(env, "smtp") == ConnectionLimits(idle=600, age=86400)
    assert connection_limits(env, "echo") == ConnectionLimits(idle=300, age=60)


def test_zero_is_no_limit() -> None:
    assert connection_limits({"ECHO_IDLE_LIMIT": "0", "ECHO_AGE_LIMIT": "0"}, "echo") == ConnectionLimits()


@pytest.mark.parametrize("value", ["-1", "1.5", "five", "99999999999999999999", "\u0663", " 5"])
@pytest.mark.parametrize("name", ["SMTP_IDLE_LIMIT", "SMTP_AGE_LIMIT"])
def test_a_limit_that_is_none_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} is .*give whole seconds from 1 to \d+, or 0 for none"):
        connection_limits({name: value}, "smtp")


def test_an_idle_limit_beyond_the_sessions_life_is_refused_where_somebody_set_it() -> None:
    assert connection_limits({"SESSION_TTL": "60"}, "echo").idle == 300
    assert connection_limits({"SESSION_TTL": "60", "ECHO_IDLE_LIMIT": "60"}, "echo").idle == 60
    with pytest.raises(ConfigurationError, match="ECHO_IDLE_LIMIT is 61, more than SESSION_TTL, 60"):
        connection_limits({"SESSION_TTL": "60", "ECHO_IDLE_LIMIT": "61"}, "echo")


def test_every_server_has_a_session_store_of_its_own_unless_one_is_named() -> None:
    """On a common one, each server's reaper would hold the other's connections to its own limits."""
    one, other, socket = (
        Settings.from_env({"RR_RPC": address}).session_store
        for address in ("tcp://127.0.0.1:6001", "tcp://127.0.0.1:6002", "unix:///run/rr.sock")
    )
    assert one.endswith("-6001")
    assert other.endswith("-6002")
    assert socket.endswith("-rr.sock")
    named = {"SESSION_STORE": "redis://127.0.0.1", "RR_RPC": "tcp://127.0.0.1:6002"}
    assert Settings.from_env(named).session_store == "redis://127.0.0.1"


@pytest.mark.parametrize("name", ["SESSION_TTL", "REAPER_INTERVAL", "REAPER_GRACE"])
def test_a_time_that_cannot_be_none_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name} is '0': give whole seconds from \d+ to \d+, e.g. \d+"):
        Settings.from_env({name: "0"})


def test_clients_have_no_limits_unless_they_are_given() -> None:
    assert Settings.from_env({"CLIENT_EXEMPT": "10.0.0.0/8"}).client_limits is None
    env = {"CLIENT_MAX_CONNECTIONS": "50", "CLIENT_EXEMPT": " 10.0.0.0/8, ,2001:db8::/32"}
    assert Settings.from_env(env).client_limits == ClientLimits(connections=50, exempt=("10.0.0.0/8", "2001:db8::/32"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("CLIENT_MAX_CONNECTIONS", "-1"), ("CLIENT_MAX_PER_MINUTE", "some"), ("CLIENT_EXEMPT", "10.0.0.1/8")],
)
def test_limits_of_clients_that_are_none_are_refused_by_their_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_env({name: value})


def test_limits_of_clients_need_a_store_that_can_count() -> None:
    with pytest.raises(ConfigurationError, match="need a SESSION_STORE that can count"):
        Settings.from_env({"CLIENT_MAX_PER_MINUTE": "1", "SESSION_STORE": "rrkv://sessions"})
