"""Hooks that fail, end in other ways, or leave behind what cannot be saved: what that costs, and what it does not."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import Envelope, Session

from services.smtp.errors import HandlerFaultError
from tests.services.smtp.corpus import envelope
from tests.services.smtp.harness import SETTINGS, Service, codes
from tests.services.smtp.test_hooks import served

# ruff: noqa: ARG002, N802 - the signatures and names are aiosmtpd's

HELLO = b"EHLO c\r\n"


class Broken:
    """Its hooks raise, each in another command; its own attribute tells which."""

    async def handle_RCPT(self, server: Any, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        envelope.rcpt_tos.append(address)
        if address == "raise@b.test":
            raise RuntimeError("the secret is 42")
        return {"none@b.test": None, "inject@b.test": "250 OK\r\n250 injected"}.get(address, "250 OK")  # type: ignore[return-value]


def test_a_hook_that_fails_is_451_and_logged_and_its_command_undone(caplog: pytest.LogCaptureFixture) -> None:
    lines, service = served(
        Broken,
        HELLO + b"MAIL FROM:<a@b>\r\n",
        b"RCPT TO:<raise@b.test>\r\n",
        b"RCPT TO:<none@b.test>\r\nRCPT TO:<inject@b.test>\r\n",
        b"RCPT TO:<fine@b.test>\r\nDATA\r\n.\r\n",
    )
    assert codes(b"\r\n".join(lines)) == [250, 250, 451, 451, 451, 250, 354, 250]
    assert b"secret" not in b"".join(lines)
    assert b"injected" not in b"".join(lines)
    assert service.mails[0].info.rcpt_tos == ("fine@b.test",)
    assert "RuntimeError: the secret is 42" in caplog.text
    assert caplog.text.count("handle_RCPT failed") == 3


class Explaining(Broken):
    async def handle_exception(self, error: Exception) -> str:
        if "reply line" in str(error):
            raise LookupError("even this")
        return f"542 {type(error).__name__}"


def test_handle_exception_answers_for_a_hook_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    lines, _ = served(Explaining, HELLO + b"MAIL FROM:<a@b>\r\nRCPT TO:<raise@b.test>\r\nRCPT TO:<none@b.test>\r\n")
    assert lines[-2:] == [
        b"542 5.0.0 RuntimeError",
        b"451 4.3.0 Local error in processing; try again later",
    ]
    assert "LookupError: even this" in caplog.text


class Panic(BaseException):
    """As extensions in Rust raise it: no `Exception`."""


class Ending:
    """Ends in ways that are no `Exception`."""

    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        match arg:
            case "exit":
                sys.exit(3)
            case "cancelled":
                waiting = asyncio.ensure_future(asyncio.sleep(60))
                waiting.cancel()
                await waiting
            case "itself":
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                await asyncio.sleep(60)
            case "panic":
                raise Panic
            case "3xx":
                return "354 go on"
            case "long":
                return "250 " + "x" * 506
        return "250 OK"


@pytest.mark.parametrize("reason", ["exit", "cancelled", "itself", "panic", "3xx", "long"])
def test_a_hook_that_ends_in_another_way_is_451_and_costs_neither_session_nor_worker(
    reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    lines, _ = served(Ending, HELLO, b"NOOP %s\r\nNOOP\r\n" % reason.encode(), b"NOOP\r\n")
    assert lines[-3:] == [b"451 4.3.0 Local error in processing; try again later", b"250 2.0.0 OK", b"250 2.0.0 OK"]
    assert "the hook handle_NOOP failed" in caplog.text


class EndingInException(Ending):
    async def handle_exception(self, error: Exception) -> str:
        assert isinstance(error, HandlerFaultError), "what is no `Exception` is not its business"
        sys.exit(4)


def test_a_handle_exception_that_ends_in_another_way_is_451_too(caplog: pytest.LogCaptureFixture) -> None:
    lines, _ = served(EndingInException, HELLO, b"NOOP exit\r\nNOOP 3xx\r\nNOOP\r\n")
    assert codes(b"\r\n".join(lines[-3:])) == [451, 451, 250]
    assert "the hook handle_exception failed" in caplog.text


class CancellingTheEvent:
    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(60)
        return "250 never"


def test_a_hook_whose_event_is_cancelled_costs_the_session() -> None:
    """So does Ctrl-C, which cancels it from outside: swallowed, the worker would not end."""
    with Service(SETTINGS, CancellingTheEvent(), CancellingTheEvent()) as service:
        client = service.client()
        assert codes(client.send(HELLO, b"NOOP\r\n")) == [250, 421]
        assert client.closed
        assert codes(service.client().send(HELLO)) == [250]


class Grouping:
    """Its TaskGroups fail. Before Python 3.13, the task in which one did stays one that is to be cancelled."""

    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fail())
        return "250 never"

    async def handle_RSET(self, server: Any, session: Any, envelope: Any) -> str:
        with contextlib.suppress(BaseExceptionGroup):
            await self.handle_NOOP(server, session, envelope, None)
        return "250 OK"

    async def handle_VRFY(self, server: Any, session: Any, envelope: Any, address: str) -> str:
        if address == "raise":
            raise LookupError
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(60)
        except TimeoutError:
            return "250 in time"
        return "250 never"

    async def _fail(self) -> None:
        raise LookupError


@pytest.mark.parametrize("first", [b"NOOP", b"RSET"])
def test_a_task_group_that_fails_in_a_hook_costs_neither_the_mail_before_it_nor_the_hooks_behind(first: bytes) -> None:
    """A stored mail that is not answered is sent again."""
    with Service(SETTINGS, Grouping(), Grouping()) as service:
        client = service.client()
        commands = first + b"\r\nVRFY raise\r\nVRFY wait\r\nHELP\r\n"
        replies = client.send(HELLO + envelope() + b"text\r\n.\r\n" + commands)
        assert codes(replies) == [250, 250, 250, 354, 250, 451 if first == b"NOOP" else 250, 451, 250, 214]
        assert b"250 2.0.0 in time" in replies
        assert len(service.mails) == 1
        assert codes(client.send(b"QUIT\r\n")) == [221]


class Unsavable:
    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        session.connection = object()
        return "250 OK"

    async def handle_VRFY(self, server: Any, session: Any, envelope: Any, address: str) -> str:
        envelope.rcpt_tos = [b"bytes@b.test"]
        return "250 OK"

    async def handle_RSET(self, server: Any, session: Any, envelope: Any) -> str:
        session.host_name = 5
        return "250 OK"

    async def handle_HELO(self, server: Any, session: Any, envelope: Any, name: str) -> str:
        session.host_name = name
        session.ssl = object()
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        envelope.rcpt_tos.append("\ud800@b.test")
        return "250 OK"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:
        session.connection = object()
        return "221 bye"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (b"NOOP", "session.connection"),
        (b"VRFY x", "envelope.rcpt_tos"),
        (b"RSET", "session.host_name"),
        (b"HELO c", "session.ssl"),
        (b"RCPT TO:<a@b>", "envelope.rcpt_tos"),
    ],
)
def test_what_cannot_be_saved_ends_the_session_and_is_named(
    command: bytes, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Service(SETTINGS, Unsavable(), Unsavable()) as service:
        client = service.client()
        client.send(HELLO + b"MAIL FROM:<a@b>\r\n")
        assert codes(client.send(command + b"\r\n")) == [421]
        assert client.closed
    assert name in caplog.text


def test_nothing_is_saved_of_a_session_that_quits() -> None:
    with Service(SETTINGS, Unsavable(), Unsavable()) as service:
        assert codes(service.client().send(HELLO + b"QUIT\r\n")) == [250, 221]


class UnsavableNoop:
    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        session.connection = object()
        return "250 OK"


def test_what_was_done_before_a_fault_in_the_same_event_is_answered() -> None:
    """Else the client sends again what is stored already."""
    with Service(SETTINGS, UnsavableNoop(), UnsavableNoop()) as service:
        client = service.client()
        replies = client.send(HELLO + envelope() + b"text\r\n.\r\nNOOP\r\nRSET\r\n")
        assert codes(replies) == [250, 250, 250, 354, 250, 421]
        assert client.closed
        assert len(service.mails) == 1


class FaultyWithMail(Mailbox):
    """Delivers the mail, then keeps an object that cannot be saved."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        reply: str = await super().handle_DATA(server, session, envelope)
        session.last = object()
        return "550 no" if b"refused" in envelope.content else reply


def test_a_mail_that_a_faulty_handler_accepted_is_stored_and_answered_and_the_session_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The handler has delivered it: a client that is not told so would send it again and again."""
    handler = FaultyWithMail(tmp_path / "box")
    with Service(SETTINGS, handler, handler) as service:
        client = service.client()
        replies = client.send(HELLO + envelope() + b"text\r\n.\r\n" + envelope(2) + b"text\r\n.\r\n")
        assert codes(replies) == [250, 250, 250, 354, 250, 421]
        assert client.closed
        assert len(service.mails) == len(handler.mailbox) == 1
        assert codes(service.client().send(HELLO + envelope() + b"refused\r\n.\r\n"))[-2:] == [550, 421]
        assert len(service.mails) == 1
    assert "session.last cannot be saved" in caplog.text


class FaultyEnvelope(Mailbox):
    """Delivers the mail, then leaves an envelope of which no mail can be made."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        reply: str = await super().handle_DATA(server, session, envelope)
        envelope.rcpt_tos = {"one@b.test"}
        return reply


def test_a_mail_whose_envelope_a_handler_spoilt_when_it_accepted_it_is_stored_as_it_came(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    handler = FaultyEnvelope(tmp_path / "box")
    with Service(SETTINGS, handler, handler) as service:
        client = service.client()
        assert codes(client.send(HELLO + envelope() + b"text\r\n.\r\nNOOP\r\n")) == [250, 250, 250, 354, 250, 421]
        assert client.closed
        assert len(service.mails) == len(handler.mailbox) == 1
        assert service.mails[0].content == b"text\r\n"
    assert "envelope.rcpt_tos" in caplog.text


class Picky:
    """Knows one address, and one that has no room now."""

    async def handle_RCPT(self, server: Any, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if address == "full@b.test":
            return "452 no room"
        if address != "known@b.test":
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_VRFY(self, server: Any, session: Session, envelope: Envelope, address: str) -> str:
        return "550 nobody of that name"


def test_who_tries_addresses_is_sent_away() -> None:
    """Those that come later may be right, so temporary refusals do not count."""
    begin = HELLO + b"MAIL FROM:<a@b>\r\n" + b"RCPT TO:<full@b.test>\r\n" * 30 + b"RCPT TO:<known@b.test>\r\n"
    lines, _ = served(Picky, begin, b"RCPT TO:<x@b.test>\r\n" * 10 + b"VRFY x@b.test\r\n" * 30)
    assert codes(b"\r\n".join(lines[-51:])) == [452] * 30 + [250] + [550] * 19 + [421]


def test_a_few_wrong_recipients_cost_no_mail() -> None:
    lines, service = served(
        Picky,
        HELLO + b"MAIL FROM:<a@b>\r\n" + b"RCPT TO:<x@b.test>\r\n" * 19 + b"RCPT TO:<known@b.test>\r\nDATA\r\n.\r\n",
    )
    assert codes(b"\r\n".join(lines[-22:])) == [550] * 19 + [250, 354, 250]
    assert service.mails[0].info.rcpt_tos == ("known@b.test",)
