"""Handlers named in the settings; aiosmtpd's own run unchanged."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import mailbox
from email.message import Message as EmailMessage
from functools import partial
from pathlib import Path
from typing import Any

import aiosmtpd.handlers
import pytest
from aiosmtpd.handlers import AsyncMessage, Debugging

from rr_tcp import App, ConfigurationError, TcpEvent, Worker
from rr_tcp.testing import ConnectionDriver, FakeRelay, MemorySessionStore, event_frame
from rr_tcp.testing.relay import STOP_FRAME, pid_frame
from services.smtp import SmtpProtocol
from services.smtp.hooks import HandlerSpec, Hooks
from tests.services.smtp.corpus import MAILS, session
from tests.services.smtp.harness import SETTINGS, MemoryMailStore, Service, codes
from workers.smtp import add_to

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


class Failing:
    """Raises what its argument names."""

    def __init__(self, reason: str) -> None:
        errors: dict[str, type[BaseException]] = {
            error.__name__: error for error in (TypeError, ValueError, SystemExit, asyncio.CancelledError)
        }
        raise errors[reason]("of its own")


class Authenticating:
    async def handle_AUTH(self, server: Any, session: Any, envelope: Any, args: list[str]) -> str:
        return "535 5.7.8 who are you?"


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
        (f"{__name__}.Configured", "refuses its arguments: missing a required argument: 'code'"),
        (f"{__name__}.Configured 1 2 3", "refuses its arguments: too many positional arguments"),
        (f"{__name__}.Failing TypeError", "cannot be made: TypeError: of its own"),
        (f"{__name__}.Failing ValueError", "cannot be made: ValueError: of its own"),
        (f"{__name__}.Failing SystemExit", "cannot be made: SystemExit: of its own"),
        (f"{__name__}.Failing CancelledError", "cannot be made: CancelledError: of its own"),
        ("aiosmtpd.handlers.Message", "cannot be made: TypeError: Can't instantiate abstract class"),
    ],
)
def test_arguments_that_a_handler_refuses_are_an_error_that_says_why(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^SMTP_HANDLER is .*{reason}"):
        HandlerSpec.parse(text).make()


def test_a_module_that_fails_when_it_is_imported_is_an_error_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module_that_exits.py").write_text("raise SystemExit('not configured')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=r"SMTP_HANDLER is .*SystemExit: not configured"):
        HandlerSpec.parse("module_that_exits.Handler")


@pytest.mark.parametrize("handler", ["aiosmtpd.handlers.Mailbox", f"{__name__}.Authenticating"])
def test_a_handler_that_cannot_be_made_ends_the_worker_before_its_first_event(handler: str, tmp_path: Path) -> None:
    """Else the configuration is wrong, and clients are the first to see it."""
    relay = FakeRelay([pid_frame(), event_frame(TcpEvent.CONNECTED, server="smtp"), STOP_FRAME])
    app = App(store=MemorySessionStore())
    add_to(app, {"SMTP_HANDLER": handler, "MAIL_STORE": f"sqlite:///{tmp_path}/mail.db"})
    with pytest.raises(ConfigurationError, match="SMTP_HANDLER"):
        app.run(Worker(relay))
    assert not [frame for frame in relay.sent if b"220" in frame.payload]


def test_a_handler_is_made_in_the_loop_that_runs_its_hooks_before_the_first_event(tmp_path: Path) -> None:
    Collecting.subjects.clear()
    event = partial(event_frame, server="smtp")
    frames = [pid_frame(), event(TcpEvent.CONNECTED), event(TcpEvent.DATA, session(MAILS["plain"])), STOP_FRAME]
    app = App(store=MemorySessionStore())
    add_to(app, {"SMTP_HANDLER": f"{__name__}.Collecting", "MAIL_STORE": f"sqlite:///{tmp_path}/mail.db"})
    app.run(Worker(FakeRelay(frames)))
    assert Collecting.subjects == ["hello"]


@pytest.mark.parametrize("reason", ["SystemExit", "CancelledError", "ValueError"])
def test_a_handler_that_fails_at_the_first_event_costs_that_connection_only(
    reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nobody called `start`."""
    app = App(store=MemorySessionStore())
    try:
        settings = dataclasses.replace(SETTINGS, handler=f"{__name__}.Failing {reason}")
        app.add("smtp", SmtpProtocol(settings, store=MemoryMailStore()))
        client = ConnectionDriver(app, "smtp")
        assert codes(client.connect()) == [421]
        assert client.closed
    finally:
        app.close()
    assert f"cannot be made: {reason}: of its own" in caplog.text


@pytest.mark.parametrize("name", ["Debugging", "Proxy", "Sink", "Message", "AsyncMessage", "Mailbox"])
def test_no_handler_of_aiosmtpd_is_refused_for_its_hooks(name: str) -> None:
    """Without calling it: what a handler needs to be made is another matter."""
    handler_class = getattr(aiosmtpd.handlers, name)
    hooks = Hooks(object.__new__(type(name, (handler_class,), {"handle_message": None})), SETTINGS)
    assert ("DATA" in hooks) == (name != "Sink")


@pytest.mark.parametrize(
    "name", ["handle_AUTH", "handle_STARTTLS", "handle_PROXY", "auth_PLAIN", "auth_X__OWN", "authenticator"]
)
def test_a_hook_that_would_never_be_called_is_an_error(name: str) -> None:
    """A handler that tells users from strangers must not run where nobody is asked who he is."""
    handler = type("Handler", (), {name: lambda *_: None})()
    with pytest.raises(ConfigurationError, match=rf"Handler \(SMTP_HANDLER\) has hooks .* called: {name}\. "):
        SmtpProtocol(SETTINGS, store=MemoryMailStore(), handler=handler)


class ShortEhlo:
    async def handle_EHLO(self, server: Any, session: Any, envelope: Any) -> str:
        return "250 HELP"


class LongEhlo:
    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, name: str, responses: Any, more: Any) -> str:
        return "250 HELP"


@pytest.mark.parametrize(("handler_class", "arity"), [(ShortEhlo, 3), (LongEhlo, 6)])
def test_a_handle_ehlo_of_neither_form_is_an_error(handler_class: type, arity: int) -> None:
    """For aiosmtpd it is an "Unsupported EHLO Hook"."""
    with pytest.raises(ConfigurationError, match=f"handle_EHLO of .*Ehlo .*takes {arity} arguments"):
        SmtpProtocol(SETTINGS, store=MemoryMailStore(), handler=handler_class())


class MadeByAnother:
    """Finds, the first time, that another process made its directory between its look and its own attempt."""

    attempts = 0

    def __init__(self) -> None:
        MadeByAnother.attempts += 1
        if MadeByAnother.attempts == 1:
            raise FileExistsError("the maildir")


def test_a_handler_whose_directory_another_worker_makes_at_the_same_moment_is_made() -> None:
    handler = HandlerSpec.parse(f"{__name__}.MadeByAnother").make()
    assert isinstance(handler, MadeByAnother)
    assert MadeByAnother.attempts == 2
