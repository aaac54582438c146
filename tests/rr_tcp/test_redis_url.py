"""What a URL of a Redis says; what is wrong with one is told without its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from rr_tcp.errors import ConfigurationError
from rr_tcp.redis_url import RedisPlace, parse_redis_url

SECRET = "hunter2"


def unusable(scheme: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"{scheme}: {why}")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://127.0.0.1", RedisPlace((("127.0.0.1", 6379),))),
        ("redis://redis:6380/2", RedisPlace((("redis", 6380),), db=2)),
        ("redis://:p%40ss%2Fw%3A@h/1", RedisPlace((("h", 6379),), db=1, password="p@ss/w:")),
        ("redis://me:a:b@[::1]:7000/", RedisPlace((("::1", 7000),), username="me", password="a:b")),
        (
            "redis://me@h?password_file=/run/p%20w",
            RedisPlace((("h", 6379),), username="me", password_file=Path("/run/p w")),
        ),
        ("rediss://h/0?ca=ca.crt", RedisPlace((("h", 6379),), tls=True, ca=Path("ca.crt"))),
        (
            "rediss+cluster://u:p@one,[::1]:7001/?cert=/c&key=/k&replicas=2",
            RedisPlace(
                (("one", 6379), ("::1", 7001)),
                cluster=True,
                username="u",
                password="p",
                tls=True,
                cert=Path("/c"),
                key=Path("/k"),
                replicas=2,
            ),
        ),
    ],
)
def test_what_a_url_says(url: str, place: RedisPlace) -> None:
    assert parse_redis_url(url, unusable) == place


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://", "names no host"),
        ("redis:///0", "names no host"),
        (f"redis://:{SECRET}@host:port/0", "its host or port"),
        (f"redis://:{SECRET}@host:99999/0", "its host or port"),
        (f"redis://{SECRET}]:[@host/0", "its host or port"),
        ("redis+cluster://one,,two", "names no host"),
        ("redis://one,two", "several hosts"),
        ("redis://host/sessions", "number of a database"),
        ("redis://host/-1", "number of a database"),
        ("redis+cluster://host/1", "has only 0"),
        (f"redis://:{SECRET}#1@host/0", "after #"),
        (f"redis://:{SECRET}?1@host/0", "its host or port"),
        (f"redis://me:1?{SECRET}@host/0", "after ?|its host or port"),
        (f"redis://host?{SECRET}=1", r"after \?"),
        ("redis://host?password_file=", r"after \?"),
        ("redis://host?password_file=/a&password_file=/b", r"after \?"),
        (f"redis://:{SECRET}@host?password_file=/a", "a password and names a file"),
        ("redis://host?ca=/ca.crt", "does not ask for TLS"),
        ("redis://host?replicas=-1", "no number"),
        ("redis://host?replicas=one", "no number"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        parse_redis_url(url, unusable)
    assert SECRET not in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_place_does_not_show_its_password() -> None:
    assert SECRET not in repr(parse_redis_url(f"redis://:{SECRET}@host", unusable))
