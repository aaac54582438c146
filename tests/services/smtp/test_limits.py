"""Limits: at them all is well, one over them is answered as it should be, and nothing grows past them."""

from __future__ import annotations

import dataclasses

import pytest

from services.smtp.app import SLICE
from services.smtp.limits import COMMAND_LINE, COMMAND_LINES, Limits
from services.smtp.settings import SmtpSettings
from tests.services.smtp.corpus import envelope
from tests.services.smtp.harness import LIMITS, SETTINGS, Service, codes, converse

HELLO = b"EHLO c\r\n"


def limited(**limits: int) -> SmtpSettings:
    return dataclasses.replace(SETTINGS, limits=dataclasses.replace(LIMITS, **limits))


@pytest.mark.parametrize(
    ("verb", "limit"),
    [
        (b"NOOP ", COMMAND_LINE),
        (b"mail FROM:<a@b>", COMMAND_LINES[b"MAIL"]),
        (b"VRFY a@b", COMMAND_LINES[b"VRFY"]),
        (b"RCPT TO:<a@b>", COMMAND_LINES[b"RCPT"]),
    ],
)
def test_a_command_line_may_be_as_long_as_its_limit(verb: bytes, limit: int) -> None:
    before = HELLO + (b"MAIL FROM:<a@b>\r\n" if verb.startswith(b"RCPT") else b"")
    longest = verb + b" " * (limit - len(verb) - 2) + b"\r\n"
    assert codes(converse([before + longest]).replies)[-1] in {250, 252}
    assert codes(converse([before + b" ".join([verb, longest[len(verb) :]])]).replies)[-1] == 500


def test_the_longest_parameters_fit_the_longest_address() -> None:
    """RFC 5321 4.5.3.1.4: an extension that makes a command longer says by how much; a path may have 256 bytes."""
    path = b"<" + b"l" * 64 + b"@" + b"d" * 189 + b">"
    assert len(path) == 256
    size, envid = b"9" * 20, b"e" * 94
    mail = b"MAIL FROM:" + path + b" SIZE=" + size + b" BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=" + envid + b"\r\n"
    rcpt = b"RCPT TO:" + path + b" NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;" + b"o" * 487 + b"\r\n"
    replies = codes(converse([HELLO + mail + mail.replace(size, b"1") + rcpt]).replies)
    assert replies == [250, 552, 250, 250]
    assert len(mail) <= COMMAND_LINES[b"MAIL"]
    assert len(rcpt) <= COMMAND_LINES[b"RCPT"]


def test_a_line_that_is_too_long_is_answered_once_and_not_kept() -> None:
    pieces = [HELLO, *[b"x" * 100] * 1000, b"\r\nNOOP\r\n"]
    outcome = converse(pieces)
    assert codes(outcome.replies) == [250, 500, 250]
    assert outcome.largest_state < 2 * COMMAND_LINE


def test_the_declared_size_is_checked_against_the_announced_one() -> None:
    assert b"250-SIZE 2000\r\n" in converse([HELLO]).replies
    sizes = (b"MAIL FROM:<a@b> SIZE=%d\r\nRSET\r\n" % size for size in (0, 2000, 2001, 10**19))
    assert codes(converse([HELLO, *sizes]).replies) == [250, 250, 250, 250, 250, 552, 250, 552, 250]


def test_a_text_may_be_as_big_as_its_limit() -> None:
    text = b"x" * 98 + b"\r\n"
    exact = converse([HELLO + envelope(), text * 20 + b".\r\n"])
    assert codes(exact.replies)[-1] == 250
    assert len(exact.mails[0][1]) == 2000
    assert codes(converse([HELLO + envelope(), text * 20 + b"\r\n.\r\n"]).replies)[-1] == 552


def test_dots_of_transparency_count_for_no_limit() -> None:
    outcome = converse([HELLO + envelope() + b".." + b"x" * 997 + b"\r\n" + b".." + b"x" * 997 + b"\r\n.\r\n"])
    assert codes(outcome.replies)[-1] == 250
    assert len(outcome.mails[0][1]) == 2000


def test_a_text_that_is_too_big_is_read_to_its_end_kept_nowhere_and_never_executed() -> None:
    outcome = converse([HELLO + envelope(), *[b"QUIT\r\nRSET\r\n"] * 1000, b".\r\nNOOP\r\n"])
    assert codes(outcome.replies) == [250, 250, 250, 354, 552, 250]
    assert outcome.mails == []
    assert outcome.most_kept <= LIMITS.message


@pytest.mark.parametrize("pieces", [1, 7, 5000])
def test_a_text_line_may_be_as_long_as_its_limit(pieces: int) -> None:
    def outcome(line: bytes) -> int:
        text = b"short\r\n" + line + b"\r\nshort\r\n.\r\n"
        parts = [text[start : start + pieces] for start in range(0, len(text), pieces)]
        return codes(converse([HELLO + envelope(), *parts]).replies)[-1]

    assert outcome(b"x" * 998) == 250
    assert outcome(b"x" * 999) == 500


def test_recipients_over_the_limit_are_asked_to_come_in_another_mail() -> None:
    recipients = b"".join(b"RCPT TO:<r%d@b.test>\r\n" % number for number in range(5))
    outcome = converse([HELLO + b"MAIL FROM:<a@b>\r\n" + recipients + b"DATA\r\n.\r\n"])
    assert codes(outcome.replies) == [250, 250, 250, 250, 250, 452, 452, 354, 250]
    assert outcome.mails[0][0].rcpt_tos == ["r0@b.test", "r1@b.test", "r2@b.test"]


def test_ten_thousand_recipients_are_answered_one_by_one() -> None:
    outcome = converse([HELLO + b"MAIL FROM:<a@b>\r\n" + b"RCPT TO:<x@y>\r\n" * 10_000])
    assert codes(outcome.replies).count(452) == 10_000 - LIMITS.recipients
    assert not outcome.closed
    assert outcome.largest_state < 500


def test_a_hundred_recipients_are_accepted_by_default() -> None:
    """RFC 5321 4.5.3.1.8."""
    settings = SmtpSettings()
    outcome = converse([HELLO + b"MAIL FROM:<a@b>\r\n" + b"RCPT TO:<x@y>\r\n" * 101], settings)
    assert codes(outcome.replies) == [250] * 102 + [452]


def test_the_last_bad_command_ends_the_session() -> None:
    outcome = converse([b"WHAT\r\n" * 50], limited(bad_commands=5))
    assert codes(outcome.replies) == [500, 500, 500, 500, 421]
    assert outcome.closed


def test_what_ends_the_session_by_itself_says_so_as_the_last_bad_command_too() -> None:
    outcome = converse([b"WHAT\r\n" * 4 + b"NOOP\nNOOP\r\n"], limited(bad_commands=5))
    assert codes(outcome.replies) == [500, 500, 500, 500, 421]
    assert b"bare LF" in outcome.replies


def test_the_rest_of_a_line_that_is_too_long_is_no_command_of_its_own() -> None:
    """However it begins: a BDAT that is too long would end the session."""
    pieces = [HELLO, b"NOOP " + b"x" * 600 + b"B", b"DAT " + b"x" * 600, b"\r\nNOOP\r\n"]
    outcome = converse(pieces)
    assert codes(outcome.replies) == [250, 500, 250]
    assert not outcome.closed


def test_what_is_refused_for_another_reason_is_no_bad_command() -> None:
    stream = HELLO + b"MAIL FROM:<a@b> SIZE=9999\r\n" * 9 + envelope() + b"a\nb\r\n.\r\n" + b"NOOP\r\n"
    outcome = converse([stream], limited(bad_commands=2))
    assert codes(outcome.replies)[-1] == 250
    assert not outcome.closed


def test_a_session_may_send_as_many_mails_as_its_limit() -> None:
    outcome = converse([HELLO + (envelope() + b".\r\n") * 2 + b"MAIL FROM:<a@b>\r\nNOOP\r\n"], limited(mails=2))
    assert codes(outcome.replies)[-2:] == [250, 421]
    assert len(outcome.mails) == 2


def test_refused_and_abandoned_mails_count_as_announced() -> None:
    """RFC 9422 section 4.1: MAILMAX counts MAIL commands, whatever becomes of them."""
    stream = HELLO + b"MAIL FROM:<a@b\r\nMAIL FROM:<a@b>\r\nRSET\r\n"
    outcome = converse([stream + b"MAIL FROM:<a@b>\r\nRSET\r\nMAIL FROM:<a@b>\r\n"], limited(mails=3))
    assert codes(outcome.replies) == [250, 501, 250, 250, 250, 250, 421]
    assert b"250-LIMITS MAILMAX=3 RCPTMAX=3\r\n" in outcome.replies
    assert outcome.closed


def test_mails_that_end_in_one_event_are_limited_and_those_before_are_kept() -> None:
    """A client that waits for each 354 never comes to it; the others are told, and lose nothing that was answered."""
    settings = limited(messages_at_once=2)
    stream = HELLO + (envelope() + b"text\r\n.\r\n") * 4 + b"NOOP\r\n"
    with Service(settings) as service:
        client = service.client()
        assert codes(client.send(stream)) == [250, *[250, 250, 354, 250] * 2, 250, 250, 354, 421]
        assert client.closed
        assert len(service.mails) == 2
    with Service(settings) as service:
        client = service.client()
        pieces = [HELLO, *[envelope() + b"text\r\n.\r\n"] * 4]
        assert codes(client.send(*pieces)) == [250, *[250, 250, 354, 250] * 4]
        assert len(service.mails) == 4


def test_the_limit_per_event_holds_for_mails_that_hooks_refuse() -> None:
    class Refusing:
        async def handle_DATA(self, *_: object) -> str:  # noqa: N802 - the name is aiosmtpd's
            return "550 no"

    settings = limited(messages_at_once=2)
    with Service(settings, Refusing(), Refusing()) as service:
        replies = service.client().send(HELLO + (envelope() + b".\r\n") * 3)
        assert codes(replies) == [250, *[250, 250, 354, 550] * 2, 250, 250, 354, 421]


@pytest.mark.parametrize("command", [b"NOOP\r\n", b"HELP\r\n", b"EHLO c\r\n", b"VRFY a\r\n", b"RSET\r\n"])
def test_commands_in_one_event_are_limited_however_many_come(command: bytes) -> None:
    """They keep the worker from everybody else, and a hundred thousand of them would be answered in seconds."""
    settings = limited(commands_at_once=50)
    with Service(settings) as service:
        client = service.client()
        answers = codes(client.send(HELLO, command * 200_000))
        assert answers[-1] == 421
        assert set(answers[:-1]) <= {250, 252, 214}
        assert len(answers) <= SLICE // len(command) + 3
        assert client.closed
    with Service(settings) as service:
        assert set(codes(service.client().send(HELLO, *[command * 50] * 3))) <= {250, 252, 214}


def test_the_recipients_of_one_mail_are_never_too_many_commands() -> None:
    settings = limited(commands_at_once=3, recipients=100)
    mail = b"MAIL FROM:<a@b>\r\n" + b"RCPT TO:<c@d>\r\n" * 100 + b"DATA\r\n.\r\n"
    with Service(settings) as service:
        assert codes(service.client().send(HELLO, mail))[-1] == 250
        assert codes(service.client().send(HELLO, mail, mail))[-1] == 250
        assert codes(service.client().send(HELLO, mail + mail))[-1] == 421
        assert len(service.mails) == 4


def test_a_mail_over_the_limit_of_commands_is_refused_and_those_before_are_kept() -> None:
    settings = limited(commands_at_once=4, recipients=3)
    with Service(settings) as service:
        replies = service.client().send(HELLO, (envelope() + b".\r\n") * 3)
        assert codes(replies) == [250, *[250, 250, 354, 250] * 2, 421]
        assert b"Too many commands at once" in replies
        assert len(service.mails) == 2


def test_the_defaults_are_what_rfc_5321_asks_for_or_more() -> None:
    assert Limits().recipients >= 100
    assert Limits().text_line >= 1000
    assert COMMAND_LINE >= 512


def test_one_connection_cannot_fill_the_disk_unseen() -> None:
    assert Limits().mails <= 1000
    assert Limits().messages_at_once <= 20
