"""One URL names the mail store."""

from __future__ import annotations

import pytest

from rr_tcp import ConfigurationError
from services.smtp import open_mail_store
from services.smtp.mailstore.maildir import MaildirStore
from services.smtp.mailstore.redis import RedisMailStore
from services.smtp.mailstore.sqlite import SqliteMailStore


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/mail.db", "var/mail.db"),
        ("sqlite:////srv/my%20mail.db", "/srv/my mail.db"),
    ],
)
def test_a_url_names_a_relative_or_an_absolute_file(url: str, path: str) -> None:
    opened = open_mail_store(url)
    assert isinstance(opened, SqliteMailStore)
    assert str(opened._database.path) == path


@pytest.mark.parametrize(("url", "path"), [("maildir:///var/box", "var/box"), ("maildir:////srv/a%23b", "/srv/a#b")])
def test_a_url_names_a_directory(url: str, path: str) -> None:
    opened = open_mail_store(url)
    assert isinstance(opened, MaildirStore)
    assert str(opened._path) == path


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://127.0.0.1", "Redis at 127.0.0.1:6379/0"),
        ("redis://user:p%40ss@[::1]:7000/3", "Redis at ::1:7000/3"),
        ("rediss://redis.test/1", "Redis at redis.test:6379/1"),
        ("redis+cluster://user:p%40ss@one:7000,two:7001", "Redis Cluster at one:7000,two:7001"),
    ],
)
def test_a_url_names_a_database_of_a_server(url: str, name: str) -> None:
    opened = open_mail_store(url)
    assert isinstance(opened, RedisMailStore)
    assert opened._client.name == name


@pytest.mark.parametrize(
    "url",
    [
        "",
        "var/mail.db",
        "sqlite://mail.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "maildir://box",
        "maildir:///",
        "mysql:///x",
        "redis://",
        "redis://:secret@",
        "redis://:secret@host/zero",
        "redis://:secret@host:port",
        "redis://:secret@host:99999",
        "redis://:sec#ret@host",
        "redis://:secret@[host",
    ],
)
def test_another_url_is_an_error_that_says_what_is_accepted_and_no_secret(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///relative/path\.db or .*maildir://.*redis://") as error:
        open_mail_store(url)
    assert "sec" not in str(error.value)
    assert error.value.__cause__ is None
