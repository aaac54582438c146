"""AUTH in the service: listeners, the users file, settings that fit together, and what is in the log."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from rr_tcp import ConfigurationError
from services.smtp import SmtpProtocol, SmtpSettings
from services.smtp.users_file import set_user
from tests.services.smtp.corpus import envelope
from tests.services.smtp.harness import SETTINGS, Service, codes
from tests.services.smtp.test_users import ALICE

# ruff: noqa: ARG002, N802 - the signatures and names are aiosmtpd's

HELLO = b"EHLO c\r\n"
PASSWORD = "open sesame"
MAIL = envelope() + b"text\r\n.\r\n"


@pytest.fixture
def settings(tmp_path: Path) -> SmtpSettings:
    """Alice may authenticate on the listener `smtps`, by `open sesame`."""
    set_user(tmp_path / "users", "alice", ALICE)
    return dataclasses.replace(SETTINGS, auth_listeners=("smtps",), users=str(tmp_path / "users"))


def plain(password: str = PASSWORD) -> bytes:
    return b"AUTH PLAIN %s\r\n" % b64encode(f"\0alice\0{password}".encode())


def test_users_authenticate_on_the_listener_behind_tls_and_on_no_other(settings: SmtpSettings) -> None:
    with Service(settings) as service:
        safe, open_to_all = service.client("smtps"), service.client("smtp")
        assert b"\r\n250-AUTH LOGIN PLAIN\r\n" in safe.send(HELLO)
        assert codes(safe.send(plain("guess"), b"AUTH LOGIN\r\n", b"YWxpY2U=\r\n", b"b3BlbiBzZXNhbWU=\r\n", MAIL)) == [
            *[535, 334, 334, 235],
            *[250, 250, 354, 250],
        ]
        assert b"AUTH" not in open_to_all.send(HELLO)
        assert codes(open_to_all.send(plain(), MAIL)) == [538, 250, 250, 354, 250]
        stranger = service.client("smtps")
        stranger.send(HELLO, MAIL)
        assert [mail.info.protocol for mail in service.mails] == ["ESMTPSA", "ESMTP", "ESMTPS"]  # RFC 3848


def test_where_it_is_required_no_listener_takes_mail_of_strangers(settings: SmtpSettings) -> None:
    with Service(dataclasses.replace(settings, auth_required=True)) as service:
        for server in ("smtp", "smtps"):
            assert codes(service.client(server).send(HELLO, b"MAIL FROM:<a@b>\r\n")) == [250, 530]
        client = service.client("smtps")
        assert codes(client.send(HELLO, plain(), MAIL)) == [250, 235, 250, 250, 354, 250]


def test_hooks_are_told_who_sends(settings: SmtpSettings) -> None:
    class Telling:
        async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
            return f"250 {session.authenticated} {session.auth_data!r}"

    with Service(settings, Telling(), Telling()) as service:
        client = service.client("smtps")
        client.send(HELLO)
        assert client.send(b"NOOP\r\n") == b"250 2.0.0 None None\r\n"
        client.send(plain())
        assert client.send(b"NOOP\r\n") == b"250 2.0.0 True LoginPassword(login='alice', password=...)\r\n"


def test_a_broken_users_file_is_a_temporary_failure_for_the_client_and_an_error_in_the_log(
    settings: SmtpSettings, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(settings.users)
    with Service(settings) as service:
        client = service.client("smtps")
        client.send(HELLO)
        path.write_text("alice:open sesame\n")
        assert client.send(plain()) == b"454 4.7.0 Temporary authentication failure; try again later\r\n"
        assert f"(454): {path}, line 1: " in caplog.text
        assert "sesame" not in caplog.text
        set_user(path.with_name("other"), "alice", ALICE)
        path.with_name("other").rename(path)
        assert client.send(plain())[:3] == b"235"


def test_the_log_tells_who_and_from_where_and_nothing_that_was_said(
    settings: SmtpSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with Service(settings) as service:
        client = service.client("smtps")
        client.send(HELLO, plain("the guess"), b"AUTH LOGIN\r\n", b"YWxpY2U=\r\n", b"*\r\n", plain())
    assert [record.getMessage() for record in caplog.records if record.name.startswith("services")] == [
        f"connection {client.uuid} from 192.0.2.1:1234: no authentication by PLAIN",
        f"connection {client.uuid}: 'alice' authenticated by PLAIN",
    ]
    for secret in ("guess", "sesame", plain().decode().split()[2], plain("the guess").decode().split()[2]):
        assert secret not in caplog.text


def start(settings: SmtpSettings, handler: object | None = None) -> None:
    asyncio.run(SmtpProtocol(settings, handler=handler).start())


class Own:
    async def auth_OWN(self, server: Any, args: list[str]) -> bool:
        return False


class Hook:
    async def handle_AUTH(self, server: Any, session: Any, envelope: Any, args: list[str]) -> str:
        return "535 5.7.8 No"


class Both:
    def authenticator(self, *_: object) -> object:
        return None


class Named:
    async def auth_much_longer_than_a_name_may_be(self, server: Any, args: list[str]) -> bool:
        return False


@pytest.mark.parametrize(
    ("changes", "handler", "message"),
    [
        ({"auth_listeners": ("smtps",)}, None, "there are no users: set SMTP_USERS"),
        ({"auth_required": True, "users": "x"}, None, "nobody could send mail. Name the servers"),
        ({"users": "x", "authenticator": f"{__name__}.plain"}, None, "SMTP_USERS and SMTP_AUTHENTICATOR are both set"),
        ({}, Own(), r"would never be called: auth_OWN. No listener has AUTH"),
        ({}, Hook(), r"would never be called: handle_AUTH. No listener has AUTH"),
        ({"auth_listeners": ("smtps",), "users": "x"}, Both(), "authenticator. Name what it is in SMTP_AUTHENTICATOR"),
        ({"auth_listeners": ("smtps",)}, Named(), "a name has at most 20 letters"),
    ],
)
def test_settings_that_do_not_fit_together_are_errors_at_the_start(
    changes: dict[str, Any], handler: object | None, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        start(dataclasses.replace(SETTINGS, mail_store="sqlite:///unused.db", **changes), handler)


@pytest.mark.parametrize("handler", [Own(), Hook()], ids=["auth_OWN", "handle_AUTH"])
def test_a_handler_may_know_the_users_itself(handler: object) -> None:
    start(dataclasses.replace(SETTINGS, mail_store="sqlite:///unused.db", auth_listeners=("smtps",)), handler)


def test_a_users_file_that_is_broken_at_the_start_costs_no_mail(
    settings: SmtpSettings, caplog: pytest.LogCaptureFixture
) -> None:
    Path(settings.users).unlink()
    start(settings)
    assert "nobody can authenticate for now (454): the users file" in caplog.text
    caplog.clear()
    start(dataclasses.replace(settings, auth_listeners=()))
    assert "SMTP_AUTH_LISTENERS is empty: nobody can authenticate" in caplog.text
