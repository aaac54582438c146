"""Each mail whose text came to its end is counted and has one line in the log: who, how many, how much, what became."""

from __future__ import annotations

import dataclasses
import json
import logging
from typing import Any

import pytest
from aiosmtpd.smtp import Envelope, Session

from rr_tcp import App
from rr_tcp.json_logs import JsonFormatter
from rr_tcp.observability import Reporter
from rr_tcp.testing import ConnectionDriver, MemorySessionStore
from services.smtp import Limits, MailStoreFullError, SmtpProtocol, SmtpSettings, replies
from services.smtp.metrics import MailMetrics
from services.smtp.reasons import HANDLER_PERMANENT, HANDLER_TEMPORARY, MAIL_REASONS, REASONS, reason
from services.smtp.replies import Reply
from tests.rr_tcp.observability.page import Page
from tests.services.smtp.harness import MemoryMailStore

SETTINGS = SmtpSettings(limits=Limits(message=2000))
MAIL = b"EHLO c\r\nMAIL FROM:<from@a.test>\r\nRCPT TO:<one@b.test>\r\nRCPT TO:<two@b.test>\r\nDATA\r\n"
TEXT = b"Subject: the secret subject\r\n\r\nthe secret text\r\n"


class Refusing:
    """A handler that refuses by whatever the mail says."""

    async def handle_DATA(self, server: object, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        del server, session
        content = envelope.content
        assert isinstance(content, bytes)
        return "550 5.7.1 the secret text is spam" if b"spam" in content else "450 4.7.1 later"


class Counted:
    """A service whose metrics and log lines can be read."""

    def __init__(self, handler: object | None = None, store: MemoryMailStore | None = None) -> None:
        self.page = Page()
        self.reporter = Reporter(self.page)
        self.app = App(store=MemorySessionStore())
        protocol = SmtpProtocol(
            SETTINGS, store=store or MemoryMailStore(), handler=handler, observer=MailMetrics(self.reporter)
        )
        self.app.add("smtp", protocol)

    def say(self, data: bytes) -> bytes:
        driver = ConnectionDriver(self.app, "smtp")
        driver.connect()
        answer = driver.send(data)
        self.app.close()
        return answer

    def lines(self) -> dict[tuple[str, ...], float]:
        self.reporter.report()
        return {key: value for key, value in self.page.lines.items() if value and "_size_" not in key[0]}


def mail_records(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    formatter = JsonFormatter()
    return [json.loads(formatter.format(made)) for made in caplog.records if made.name == "services.smtp.outcomes"]


def test_an_accepted_mail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    counted = Counted()
    counted.say(MAIL + TEXT + b".\r\n")
    assert counted.lines() == {("smtp_mails_accepted_total",): 1, ("smtp_recipients_accepted_total",): 2}
    assert counted.page.lines["smtp_mail_size_bytes_sum",] == len(TEXT)
    (line,) = mail_records(caplog)
    assert line["level"] == "INFO"
    assert {key: line[key] for key in ("sender", "recipients", "size", "result", "code")} == {
        "sender": "from@a.test", "recipients": 2, "size": len(TEXT), "result": "stored", "code": 250
    }  # fmt: skip
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("text", "name", "code"),
    [
        (b"x\0\r\n", "nul_in_text", 554),
        (b"x\n\r\n", "bare_newline_in_text", 554),
        (b"x" * 999 + b"\r\n", "text_line_too_long", 500),
        (b"secret\r\n" * 300, "message_too_big", 552),
    ],
)
def test_a_mail_that_is_refused_for_its_text(
    text: bytes, name: str, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    counted = Counted()
    counted.say(MAIL + text + b".\r\n")
    assert counted.lines() == {("smtp_mails_refused_total", name): 1, ("smtp_refusals_total", name): 1}
    (line,) = mail_records(caplog)
    assert (line["result"], line["code"], line["reason"], line["recipients"]) == ("refused", code, name, 2)
    assert "secret" not in caplog.text


@pytest.mark.parametrize(("text", "name"), [(b"spam\r\n", HANDLER_PERMANENT), (b"ham\r\n", HANDLER_TEMPORARY)])
def test_a_mail_that_a_handler_refuses_is_counted_without_the_handlers_words(
    text: bytes, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    counted = Counted(Refusing())
    counted.say(MAIL + text + b".\r\n")
    assert counted.lines() == {("smtp_mails_refused_total", name): 1, ("smtp_refusals_total", name): 1}
    (line,) = mail_records(caplog)
    assert (line["result"], line["reason"]) == ("refused", name)
    assert "secret" not in caplog.text


def test_a_mail_that_cannot_be_stored_is_an_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    class Full(MemoryMailStore):
        def add(self, *args: object, **kwargs: object) -> Any:
            del args, kwargs
            raise MailStoreFullError("no room")

    counted = Counted(store=Full())
    assert b"\r\n452 4.3.1 " in counted.say(MAIL + TEXT + b".\r\n")
    assert counted.lines() == {("smtp_mails_refused_total", "store_full"): 1, ("smtp_refusals_total", "store_full"): 1}
    (line,) = mail_records(caplog)
    assert (line["level"], line["reason"]) == ("ERROR", "store_full")
    assert "no room" in line["message"]


def test_refused_commands_are_counted_and_are_no_mails() -> None:
    counted = Counted()
    counted.say(b"EHLO c\r\nMAIL FROM:a@b\r\nRCPT TO:<a@b.test>\r\nNONSENSE\r\n")
    assert counted.lines() == {
        ("smtp_refusals_total", "bad_sender"): 1,
        ("smtp_refusals_total", "need_mail"): 1,
        ("smtp_refusals_total", "unknown_command"): 1,
    }


def test_nobody_has_to_count() -> None:
    app = App(store=MemorySessionStore())
    app.add("smtp", SmtpProtocol(dataclasses.replace(SETTINGS), store=MemoryMailStore()))
    driver = ConnectionDriver(app, "smtp")
    driver.connect()
    assert b"250 2.0.0 OK, stored" in driver.send(MAIL + TEXT + b".\r\n")
    app.close()


def test_every_refusal_of_the_service_has_a_name_of_its_own() -> None:
    refusals = [reply for reply in vars(replies).values() if isinstance(reply, Reply) and reply.code >= 400]
    assert len({reason(reply) for reply in refusals}) == len(refusals)
    assert {reason(reply) for reply in refusals} <= set(REASONS)
    assert {reason(reply) for reply in replies.PARAMETER_SYNTAX.values()} == {"parameter_syntax"}
    assert set(MAIL_REASONS) <= set(REASONS)
