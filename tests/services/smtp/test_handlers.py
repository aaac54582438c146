"""Handlers named in the settings; aiosmtpd's own run unchanged."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import mailbox
from email.message import Message as EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.handlers import AsyncMessage, Debugging

from rr_tcp import App, ConfigurationError
from rr_tcp.testing import ConnectionDriver, MemorySessionStore
from services.smtp import SmtpProtocol
from services.smtp.hooks import HandlerSpec
from tests.services.smtp.corpus import MAILS, session
from tests.services.smtp.harness import SETTINGS, MemoryMailStore, Service, codes

ACCEPTED = [250, 250, 250, 354, 250, 221]


# ruff: noqa: ARG002, N802 - the signatures and names are aiosmtpd's


def configured(handler: str, *pieces: bytes) -> tuple[list[int], MemoryMailStore]:
    """The codes of the replies to the pieces from a service whose settings name the handler."""
    store = MemoryMailStore()
    app = App(store=MemorySessionStore())
    try:
        app.add("smtp", SmtpProtocol(dataclasses.replace(SETTINGS, handler=handler), store=store))
        client = ConnectionDriver(app, "smtp", remote_addr="192.0.2.1:1234")
        client.connect()
        return codes(client.send(*pieces)), store
    finally:
        app.close()


def test_aiosmtpd_mailbox_delivers_into_a_maildir(tmp_path: Path) -> None:
    stream = session(MAILS["plain"], MAILS["plain"])
    replies, store = configured(f"aiosmtpd.handlers.Mailbox '{tmp_path}/my mails'", *stream.splitlines(keepends=True))
    assert replies == [250, 250, 250, 354, 250, 250, 250, 354, 250, 221]
    first, second = sorted(mailbox.Maildir(tmp_path / "my mails"), key=lambda message: str(message["X-MailFrom"]))
    assert first["Subject"] == second["Subject"] == "hello"
    assert (first["X-MailFrom"], first["X-RcptTo"]) == ("from1@a.test", "to1@b.test")
    assert (second["X-MailFrom"], second["X-RcptTo"]) == ("from2@a.test", "to2@b.test")
    assert first["X-Peer"] == "('192.0.2.1', 1234)"
    assert [mail.content for mail in store.kept.values()] == [MAILS["plain"]] * 2


def test_aiosmtpd_debugging_prints_the_mail(capsys: pytest.CaptureFixture[str]) -> None:
    assert configured("aiosmtpd.handlers.Debugging stderr", session(MAILS["plain"]))[0] == ACCEPTED
    assert capsys.readouterr().err == (
        "---------- MESSAGE FOLLOWS ----------\nSubject: hello\nX-Peer: ('192.0.2.1', 1234)\n\nHello,\nworld\n"
        "------------ END MESSAGE ------------\n"
    )


def test_an_object_of_aiosmtpd_is_a_handler() -> None:
    printed = io.StringIO()
    with Service(SETTINGS, Debugging(printed), Debugging(printed)) as service:
        assert codes(service.client().send(session(MAILS["plain"]))) == ACCEPTED
    assert "Hello," in printed.getvalue()


class Collecting(AsyncMessage):
    """Waits on the loop that aiosmtpd captured when the handler was made."""

    subjects: list[str] = []  # noqa: RUF012 - shared on purpose: the service makes the object

    async def handle_message(self, message: EmailMessage) -> None:
        assert self.loop is asyncio.get_running_loop()
        await self.loop.run_in_executor(None, self.subjects.append, str(message["Subject"]))


def test_async_message_finds_the_loop_that_runs_its_hooks() -> None:
    Collecting.subjects.clear()
    assert configured(f"{__name__}.Collecting", session(MAILS["plain"]))[0] == ACCEPTED
    assert Collecting.subjects == ["hello"]


class Configured:
    """A handler with arguments and without `from_cli`."""

    def __init__(self, code: str, text: str = "default") -> None:
        self.reply = f"{code} {text}"

    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        return self.reply


@pytest.mark.parametrize("separator", [".", ":"])
def test_a_handler_takes_arguments_as_in_a_shell(separator: str) -> None:
    made = HandlerSpec.parse(f"{__name__}{separator}Configured 250 'two words'").make()
    assert isinstance(made, Configured)
    assert made.reply == "250 two words"


def test_a_process_that_never_saw_the_connection_begin_makes_the_handler_too() -> None:
    sessions = MemorySessionStore()

    def worker() -> App:
        settings = dataclasses.replace(SETTINGS, handler=f"{__name__}.Configured 250")
        app = App(store=sessions)
        app.add("smtp", SmtpProtocol(settings, store=MemoryMailStore()))
        return app

    apps = [worker(), worker()]
    try:
        client = ConnectionDriver(iter(apps).__next__, "smtp")
        client.connect()
        assert client.send(b"NOOP\r\n") == b"250 2.0.0 default\r\n"
    finally:
        for app in apps:
            app.close()


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        "no.such.module.Handler",
        "aiosmtpd.handlers.NoSuchHandler",
        "aiosmtpd.handlers.CRLF",
        "'unbalanced",
    ],
)
def test_a_handler_that_cannot_be_found_is_an_error_at_the_start(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"SMTP_HANDLER is .*dotted path"):
        SmtpProtocol(dataclasses.replace(SETTINGS, handler=text), store=MemoryMailStore())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("aiosmtpd.handlers.Mailbox", "directory for the maildir is required"),
        ("aiosmtpd.handlers.Sink x", "does not accept arguments"),
        (f"{__name__}.Configured", "missing 1 required positional argument"),
    ],
)
def test_arguments_that_a_handler_refuses_are_an_error_that_says_why(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        HandlerSpec.parse(text).make()
