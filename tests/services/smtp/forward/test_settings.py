"""Settings of the consumers from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from rr_tcp import ConfigurationError
from services.smtp.forward.schedule import Schedule
from services.smtp.forward.settings import QueueSettings, RelaySettings, WebhookSettings
from services.smtp.forward.smarthost import Smarthost
from tests.services.smtp.forward.receiver import KEY, SECRET


@pytest.fixture
def password(tmp_path: Path) -> str:
    """A file with a password."""
    file = tmp_path / "password"
    file.write_text("se cret\n")
    return str(file)


@pytest.fixture
def secret(tmp_path: Path) -> str:
    """A file with a webhook's secret."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    return str(file)


def test_without_variables_there_are_defaults() -> None:
    assert QueueSettings.from_env({"DELIVERY_LEASE": ""}) == QueueSettings()
    assert QueueSettings().schedule.give_up == 5 * 24 * 3600, "RFC 5321 4.5.4.1"


def test_every_setting_of_a_queue_has_a_variable() -> None:
    env = {
        "DELIVERY_CONCURRENCY": "1",
        "DELIVERY_LEASE": "2",
        "DELIVERY_RETRY_FIRST": "3",
        "DELIVERY_RETRY_LONGEST": "4",
        "DELIVERY_GIVE_UP": "5",
    }
    assert QueueSettings.from_env(env) == QueueSettings(1, 2, Schedule(3, 4, 5))


@pytest.mark.parametrize(
    ("url", "smarthost"),
    [
        ("smtp://mx.test", Smarthost("mx.test", 25)),
        ("smtp://mx.test:2525/", Smarthost("mx.test", 2525)),
        ("smtp://[::1]:25", Smarthost("::1", 25)),
        ("smtps://mx.test", Smarthost("mx.test", 465, "tls")),
        ("smtps://me%40a.test@mx.test", Smarthost("mx.test", 465, "tls", "me@a.test", "se cret")),
        ("smtp+starttls://me@mx.test", Smarthost("mx.test", 587, "starttls", "me", "se cret")),
        ("smtp://me@127.0.0.1:1025", Smarthost("127.0.0.1", 1025, "none", "me", "se cret")),
        ("smtp://me@localhost", Smarthost("localhost", 25, "none", "me", "se cret")),
    ],
)
def test_a_smarthost_is_named_by_a_url(url: str, smarthost: Smarthost, password: str) -> None:
    settings = RelaySettings.from_env({"RELAY_URL": url, "RELAY_PASSWORD_FILE": password, "RELAY_TIMEOUT": "7"})
    assert settings == RelaySettings(smarthost, 7)


def test_a_password_is_not_shown(password: str) -> None:
    settings = RelaySettings.from_env({"RELAY_URL": "smtps://me@mx.test", "RELAY_PASSWORD_FILE": password})
    assert "se cret" not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mx.test",
        "mx.test:25",
        "http://mx.test",
        "smtp://",
        "smtp://:25",
        "smtp://mx.test:0",
        "smtp://mx.test:99999",
        "smtp://mx.test/path",
        "smtp://mx.test?x",
        "smtps://me:hidden@mx.test",
        "smtp://mx.test\r\n",
        "smtp://[::1",
    ],
)
def test_what_names_no_smarthost_is_an_error_that_shows_nothing_of_it(url: str, password: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^RELAY_URL is not (set|usable): give ") as error:
        RelaySettings.from_env({"RELAY_URL": url, "RELAY_PASSWORD_FILE": password})
    assert "hidden" not in str(error.value)


def test_a_password_is_never_sent_for_all_to_read(password: str) -> None:
    with pytest.raises(ConfigurationError, match="for all to read: use smtps://"):
        RelaySettings.from_env({"RELAY_URL": "smtp://me@mx.test", "RELAY_PASSWORD_FILE": password})


@pytest.mark.parametrize("content", [None, "", "\n"], ids=["no file", "empty", "blank"])
def test_a_user_needs_a_password(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    env = {"RELAY_URL": "smtps://me@mx.test", "RELAY_PASSWORD_FILE": str(file) if content is not None else ""}
    with pytest.raises(ConfigurationError, match="write the password to a file and name it in RELAY_PASSWORD_FILE"):
        RelaySettings.from_env(env)


def test_a_secret_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    for env in (
        {"RELAY_URL": "smtps://me@mx.test", "RELAY_PASSWORD_FILE": f"{tmp_path}/none"},
        {"RELAY_URL": "smtps://me@mx.test", "RELAY_PASSWORD_FILE": str(tmp_path)},
    ):
        with pytest.raises(ConfigurationError, match="the file of RELAY_PASSWORD_FILE cannot be read: "):
            RelaySettings.from_env(env)


def test_a_webhook_has_a_url_and_a_secret(secret: str) -> None:
    env = {"WEBHOOK_URL": "https://app.test/hooks/token", "WEBHOOK_SECRET_FILE": secret}
    settings = WebhookSettings.from_env(env)
    assert settings == WebhookSettings("https://app.test/hooks/token", KEY, 30)
    assert "token" not in repr(settings)
    assert repr(KEY) not in repr(settings)


@pytest.mark.parametrize(
    "url",
    ["", "app.test", "ftp://app.test", "http://", "https://me:hidden@app.test", "https://me@app.test", "http://a#b"],
)
def test_what_is_no_url_of_a_webhook_is_an_error_that_shows_nothing_of_it(url: str, secret: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^WEBHOOK_URL is not (set|usable): give ") as error:
        WebhookSettings.from_env({"WEBHOOK_URL": url, "WEBHOOK_SECRET_FILE": secret})
    assert "hidden" not in str(error.value)


def test_a_webhook_without_a_secret_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="make one with"):
        WebhookSettings.from_env({"WEBHOOK_URL": "https://app.test"})
