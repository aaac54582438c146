"""Notifications, read by the standard library's parser of mail."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterable
from datetime import UTC, datetime
from email.message import EmailMessage, Message
from typing import cast

import pytest

from services.smtp import MailEnvelope, MailStore, MailStoreFullError
from services.smtp.forward.interface import Report
from services.smtp.forward.notification import Reporter, asked_for, notification, quotes_all
from services.smtp.forward.progress import Progress, Result, encode_progress
from services.smtp.forward.schedule import Schedule
from services.smtp.mailstore import MailInfo
from tests.services.smtp.forward.harness import TEXT, Mails, envelope, info_of
from tests.services.smtp.forward.smarthost import Sink, relay_to
from tests.support.waiting import wait_until

NOW = datetime(2026, 1, 3, tzinfo=UTC)
FAILED = Result("failed", 550, "5.1.1 nobody here")
REPORTER = Reporter("mx.test", "sink.test")


def report_on(info: MailInfo, results: dict[int, Result], text: bytes = TEXT) -> Report:
    return notification(info, results, text, reporter=REPORTER, now=NOW)


def parts_of(text: bytes) -> tuple[EmailMessage, list[EmailMessage]]:
    """A mail and its parts; a defect is an error."""
    message = email.message_from_bytes(text, policy=email.policy.SMTPUTF8)
    for part in message.walk():
        assert part.defects == []
    return message, cast(list[EmailMessage], message.get_payload())


def fields_of(part: EmailMessage) -> list[dict[str, str]]:
    """The groups of fields of a delivery status."""
    return [dict(group.items()) for group in cast(list[Message], part.get_payload())]


def test_a_failure_is_reported_as_the_rfcs_have_it() -> None:
    info = info_of(
        envelope(
            "one@b.test",
            "two@b.test",
            mail_options=("ENVID=id+2B1",),
            rcpt_options=("", "NOTIFY=FAILURE ORCPT=rfc822;first+2Btwo@c.test"),
        )
    )
    report = report_on(info, {0: FAILED, 1: Result("failed", 0, "given up")})
    assert (report.envelope.mail_from, report.envelope.rcpt_tos) == ("", ("from@a.test",))
    assert report.envelope.mail_options == ()
    message, [explanation, status, quotation] = parts_of(report.text)
    assert message["From"] == "Mail Delivery System <MAILER-DAEMON@mx.test>"
    assert (message["To"], message["Auto-Submitted"]) == ("from@a.test", "auto-replied")
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert "<one@b.test>\r\n    550 5.1.1 nobody here\r\n" in explanation.get_content()
    assert status.get_content_type() == "message/delivery-status"
    assert fields_of(status) == [
        {
            "Reporting-MTA": "dns; mx.test",
            "Original-Envelope-Id": "id+1",
            "Arrival-Date": "Fri, 02 Jan 2026 03:04:05 +0000",
        },
        {
            "Final-Recipient": "rfc822; one@b.test",
            "Action": "failed",
            "Status": "5.1.1",
            "Remote-MTA": "dns; sink.test",
            "Diagnostic-Code": "smtp; 550 5.1.1 nobody here",
            "Last-Attempt-Date": "Sat, 03 Jan 2026 00:00:00 +0000",
        },
        {
            "Original-Recipient": "rfc822; first+two@c.test",
            "Final-Recipient": "rfc822; two@b.test",
            "Action": "failed",
            "Status": "5.0.0",
            "Last-Attempt-Date": "Sat, 03 Jan 2026 00:00:00 +0000",
        },
    ]
    assert quotation.get_content_type() == "text/rfc822-headers"
    assert quotation.get_content() == "Subject: test\r\n"


def test_a_delivery_that_nobody_else_reports_is_reported() -> None:
    info = info_of(envelope(rcpt_options=("NOTIFY=SUCCESS",)))
    message, [_, status, _] = parts_of(report_on(info, {0: Result("delivered", 250, "2.0.0 OK")}).text)
    assert message["Subject"] == "Mail Handed On"
    assert (fields_of(status)[1]["Action"], fields_of(status)[1]["Status"]) == ("relayed", "2.0.0")


@pytest.mark.parametrize(
    ("found", "notify", "told"),
    [
        (FAILED, "", True),
        (FAILED, "NOTIFY=FAILURE,DELAY", True),
        (FAILED, "NOTIFY=NEVER", False),
        (FAILED, "NOTIFY=SUCCESS", False),
        (Result("delivered", 250), "", False),
        (Result("delivered", 250), "NOTIFY=SUCCESS,FAILURE", True),
        (Result("delivered", 250, notifies=True), "NOTIFY=SUCCESS", False),
    ],
)
def test_senders_are_told_what_they_want_to_know(found: Result, notify: str, told: bool) -> None:
    assert bool(asked_for(info_of(envelope(rcpt_options=(notify,))), {0: found})) == told


def test_the_null_sender_is_told_nothing() -> None:
    assert asked_for(info_of(envelope(mail_from="")), {0: FAILED}) == {}


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (Result("failed", 450, "given up: 4.2.1 busy"), "4.2.1"),
        (Result("failed", 550, "no code"), "5.0.0"),
        (Result("failed", 554, "2.0.0 lies"), "5.0.0"),
        (Result("delivered", 250, "5.0.0 lies"), "2.0.0"),
        (Result("failed", 550, "version 15.1.12 of 5.1.1x"), "5.0.0"),
    ],
)
def test_a_status_is_the_servers_own_where_it_fits(found: Result, status: str) -> None:
    _, [_, part, _] = parts_of(report_on(info_of(envelope(rcpt_options=("NOTIFY=SUCCESS",))), {0: found}).text)
    assert fields_of(part)[1]["Status"] == status


def test_a_short_mail_is_returned_whole_to_whom_asks_for_it() -> None:
    info = info_of(envelope(mail_options=("RET=FULL",)))
    _, [_, _, quotation] = parts_of(report_on(info, {0: FAILED}).text)
    assert quotation.get_content_type() == "message/rfc822"
    assert TEXT in report_on(info, {0: FAILED}).text
    assert not quotes_all(info_of(envelope(mail_options=("RET=FULL",)), b"x" * 50_001))
    assert not quotes_all(info_of(envelope(mail_options=("RET=HDRS",))))


def test_a_mail_in_utf8_is_reported_in_utf8() -> None:
    info = info_of(
        envelope(
            "jürgen@b.test",
            mail_from="chloé@a.test",
            mail_options=("SMTPUTF8",),
            rcpt_options=("ORCPT=utf-8;jürgen@c.test",),
        )
    )
    report = report_on(info, {0: FAILED}, "Subject: ä\r\n\r\nx\r\n".encode())
    assert report.envelope.mail_options == ("BODY=8BITMIME", "SMTPUTF8")
    text = report.text.decode()
    assert "\r\nContent-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n" in text
    assert "\r\nOriginal-Recipient: utf-8; jürgen@c.test\r\nFinal-Recipient: utf-8; jürgen@b.test\r\n" in text
    assert "\r\nContent-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: ä\r\n" in text


def test_an_eight_bit_header_without_smtputf8_is_declared_as_such() -> None:
    report = report_on(info_of(envelope()), {0: FAILED}, b"Subject: \xe4\r\n\r\nx\r\n")
    assert report.envelope.mail_options == ("BODY=8BITMIME",)


def test_the_same_report_is_the_same_mail() -> None:
    info = info_of(envelope("one@b.test", "two@b.test"))
    ids = [report_on(info, dict.fromkeys(numbers, FAILED)).envelope.id for numbers in ([0, 1], [1, 0], [0], [1])]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert all(len(report_id) == 32 and int(report_id, 16) for report_id in ids)


def test_the_sender_gets_the_report_by_the_same_way(mails: Mails, sink: Sink) -> None:
    """Once, for all recipients that failed in one attempt; and for a failed report there is none."""
    mail_id = mails.add("one@b.test", "two@b.test", "three@b.test")
    sink.rcpt_replies["one@b.test"] = ["550 5.1.1 nobody"]
    sink.rcpt_replies["three@b.test"] = ["450 4.2.1 busy", "553 5.1.3 no address"]
    mails.consume(relay_to(sink.port), concurrency=1)
    assert sink.deliveries == {"two@b.test": 1, "from@a.test": 2}
    reports = [taken for taken in sink.taken if taken.rcpt_tos == ["from@a.test"]]
    assert [taken.mail_from for taken in reports] == ["<>", "<>"]
    recipients = [
        [group["Final-Recipient"] for group in fields_of(parts_of(taken.text)[1][1])[1:]] for taken in reports
    ]
    assert recipients == [["rfc822; one@b.test"], ["rfc822; three@b.test"]]
    assert b"Received:" not in reports[0].text
    assert len(list(mails.store.mails())) == 3
    assert next(mails.store.mails()).id == mail_id
    assert mails.left == 0


def test_a_report_goes_out_once_when_its_maker_was_killed_before_it_noted_that(mails: Mails, sink: Sink) -> None:
    mails.add("one@b.test", "two@b.test")
    [claim] = mails.queue.claim(lease=0)
    stored = report_on(claim.info, {0: FAILED})
    mails.store.add(stored.envelope, [stored.text])
    mails.queue.postpone(claim, 0, progress=encode_progress(Progress(since=5, results={0: FAILED})))
    mails.consume(relay_to(sink.port), concurrency=1)
    assert sink.deliveries == {"two@b.test": 1, "from@a.test": 1}
    assert len(list(mails.store.mails())) == 2


def test_a_store_that_is_full_has_the_report_wait_and_nothing_else(
    mails: Mails, sink: Sink, info: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be full until the mail that the report is of can be pruned."""
    mails.add("one@b.test")
    mails.add("two@b.test")
    sink.rcpt_replies["one@b.test"] = ["550 5.1.1 nobody"]
    room = [False]
    add = type(mails.store).add

    def add_where_there_is_room(store: MailStore, envelope: MailEnvelope, pieces: Iterable[bytes]) -> MailInfo:
        if not room[0]:
            raise MailStoreFullError("full")
        return add(store, envelope, pieces)

    monkeypatch.setattr(type(mails.store), "add", add_where_there_is_room)
    mails.consume(relay_to(sink.port), concurrency=1, schedule=Schedule(first=0.2))
    assert sink.deliveries == {"two@b.test": 1}
    assert "its sender is notified later, as the store takes no mail now: full" in info.text
    assert mails.left == 1
    room[0] = True

    def none_left() -> bool:
        mails.consume(relay_to(sink.port))
        return mails.left == 0

    wait_until(none_left, "the report")
    assert sink.deliveries == {"two@b.test": 1, "from@a.test": 1}
