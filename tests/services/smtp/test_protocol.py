"""The dialogue: what is answered when, and the engine's own rules."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from services.smtp import replies
from services.smtp.errors import LocalProtocolError
from services.smtp.events import BodyChunk, Mail, Noop, Quit
from services.smtp.protocol import SmtpEngine
from services.smtp.replies import Reply
from services.smtp.sequence import SEQUENCE
from services.smtp.state import Phase, SmtpState, Transaction
from tests.services.smtp.corpus import envelope
from tests.services.smtp.harness import AUTH, SETTINGS, codes, converse

HELLO = b"EHLO c\r\n"
MAIL = b"MAIL FROM:<a@b>\r\n"
RCPT = b"RCPT TO:<c@d>\r\n"

LEADING = {Phase.START: b"", Phase.READY: HELLO, Phase.MAIL: HELLO + MAIL, Phase.RCPT: HELLO + MAIL + RCPT}
ARGUMENTS = {"HELO": " c", "EHLO": " c", "MAIL": " FROM:<a@b>", "RCPT": " TO:<a@b>", "VRFY": " a", "AUTH": " PLAIN"}
POSITIVE = {"AUTH": 334, "DATA": 354, "HELP": 214, "VRFY": 252, "QUIT": 221}


def engine(state: SmtpState | None = None) -> SmtpEngine:
    return SmtpEngine(SmtpState() if state is None else state, SETTINGS, new_id=lambda: "id")


@pytest.mark.parametrize("phase", LEADING, ids=lambda phase: phase.name)
@pytest.mark.parametrize("verb", SEQUENCE)
def test_each_command_in_each_phase(verb: str, phase: Phase) -> None:
    expected = 503 if phase in SEQUENCE[verb] else POSITIVE.get(verb, 250)
    command = f"{verb}{ARGUMENTS.get(verb, '')}\r\n".encode()
    assert codes(converse([LEADING[phase] + command], auth=AUTH).replies)[-1] == expected


@pytest.mark.parametrize(
    ("verb", "refused"),
    [
        ("MAIL", {Phase.START, Phase.MAIL, Phase.RCPT}),
        ("RCPT", {Phase.START, Phase.READY}),
        ("DATA", {Phase.START, Phase.READY, Phase.MAIL}),
        ("AUTH", {Phase.START, Phase.MAIL, Phase.RCPT}),
        *((verb, set[Phase]()) for verb in ("HELO", "EHLO", "RSET", "NOOP", "VRFY", "HELP", "QUIT")),
    ],
)
def test_the_table_is_that_of_the_rfcs(verb: str, refused: set[Phase]) -> None:
    """RFC 5321 4.1.4, RFC 4954 section 4. The test above takes its expectations from the table: it has to be right."""
    assert set(SEQUENCE[verb]) == refused


def test_ehlo_announces_what_is_there() -> None:
    assert converse([b"EHLO c\r\n"]).replies == (
        b"250-mx.test\r\n250-PIPELINING\r\n250-SIZE 2000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n"
        b"250-DSN\r\n250-LIMITS MAILMAX=1000 RCPTMAX=3\r\n250-VRFY\r\n250 HELP\r\n"
    )
    assert converse([b"HELO c\r\n"]).replies == b"250 mx.test\r\n"


@pytest.mark.parametrize("command", [b"RSET\r\n", b"EHLO again\r\n", b"HELO again\r\n"])
def test_a_mail_under_way_ends_with(command: bytes) -> None:
    outcome = converse([HELLO + MAIL + RCPT + command + b"DATA\r\n" + MAIL])
    assert codes(outcome.replies) == [250, 250, 250, 250, 503, 250]


@pytest.mark.parametrize("command", [b"EHLO\r\n", b"EHLO two words\r\n", MAIL, b"NOOP x\r\n", b"WHAT\r\n", b"VRFY\r\n"])
def test_a_mail_under_way_survives(command: bytes) -> None:
    outcome = converse([HELLO + MAIL + RCPT + command + b"DATA\r\n.\r\n"])
    assert codes(outcome.replies)[-2:] == [354, 250]
    assert outcome.mails[0][0].rcpt_tos == ["c@d"]


@pytest.mark.parametrize("command", [b"DATA x\r\n", b"RSET x\r\n", b"QUIT x\r\n"])
def test_commands_without_argument_take_none(command: bytes) -> None:
    outcome = converse([HELLO + MAIL + RCPT + command + b"NOOP\r\n"])
    assert codes(outcome.replies)[-2:] == [501, 250]


@pytest.mark.parametrize("verb", [b"AUTH", b"STARTTLS", b"EXPN", b"TURN", b"ETRN"])
def test_what_is_not_announced_is_not_implemented(verb: bytes) -> None:
    assert codes(converse([HELLO + verb + b" x\r\n"]).replies) == [250, 502]


@pytest.mark.parametrize("command", [b"STARTTLS\r\n", b"BDAT 0 LAST\r\n"])
def test_what_cannot_be_offered_is_refused_with_the_way_round(command: bytes) -> None:
    replies_ = converse([HELLO + command + b"NOOP\r\n"]).replies
    assert codes(replies_) == [250, 502, 250]
    assert b"TLS" in replies_ or b"DATA" in replies_


def test_parameters_need_an_extended_session() -> None:
    commands = [b"MAIL FROM:<a@b> SIZE=1", b"MAIL FROM:<a@b>", b"RCPT TO:<c@d> NOTIFY=NEVER", b"VRFY a SMTPUTF8", b""]
    assert codes(converse([b"HELO c\r\n" + b"\r\n".join(commands)]).replies) == [250, 555, 250, 555, 555]


def test_help_about_a_command() -> None:
    outcome = converse([b"HELP data\r\nHELP XXXX\r\n"])
    assert codes(outcome.replies) == [214, 504]
    assert b"DATA, then after 354" in outcome.replies


def test_options_of_mail_are_kept_with_the_mail() -> None:
    outcome = converse([HELLO + b"MAIL FROM:<> size=3 body=8BITMIME\r\n" + RCPT + b"DATA\r\na\r\n.\r\n"])
    [(transaction, _)] = outcome.mails
    assert transaction.mail_from == ""
    assert transaction.mail_parameters == transaction.mail_options == ["SIZE=3", "BODY=8BITMIME"]


def test_parameters_of_rcpt_are_kept_with_their_recipient() -> None:
    recipients = b"RCPT TO:<a@b>\r\nRCPT TO:<c@d> notify=never ORCPT=rfc822;C+40d\r\nRCPT TO:<e@f>\r\n"
    [(transaction, _)] = converse([HELLO + MAIL + recipients + b"DATA\r\n.\r\n"]).mails
    assert transaction.rcpt_tos == ["a@b", "c@d", "e@f"]
    assert transaction.rcpt_parameters == ["", "NOTIFY=NEVER ORCPT=rfc822;C+40d"]
    assert transaction.rcpt_options == ["NOTIFY=NEVER", "ORCPT=rfc822;C+40d"]


def test_a_mail_with_smtputf8_may_have_recipients_beyond_ascii() -> None:
    stream = "MAIL FROM:<> BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<é@b> ORCPT=utf-8;\u00a0é@b\r\nDATA\r\n.\r\n"
    plain = "MAIL FROM:<>\r\nRCPT TO:<é@b>\r\nRCPT TO:<a@b>\r\n"
    outcome = converse([HELLO + (stream + plain).encode()])
    assert codes(outcome.replies) == [250, 250, 250, 354, 250, 250, 553, 250]
    [(transaction, _)] = outcome.mails
    assert (transaction.smtputf8, transaction.rcpt_tos) == (True, ["é@b"])
    assert transaction.rcpt_options == ["ORCPT=utf-8;\u00a0é@b"]


REFUSED_MAIL = b"MAIL FROM:<a@b> SIZE=9999\r\n"
REFUSED_RCPT = b"RCPT TO:<c@\xc3\xa9>\r\n"


def test_what_a_client_pipelined_behind_a_refusal_is_no_fault_of_its_own() -> None:
    """RFC 2920 section 3.1: it sent all up to DATA before it saw the refusal, and may do so for every mail."""
    settings = dataclasses.replace(SETTINGS, limits=dataclasses.replace(SETTINGS.limits, bad_commands=3))
    refused_sender = REFUSED_MAIL + RCPT * 2 + b"DATA\r\n"
    refused_recipients = MAIL + REFUSED_RCPT * 2 + b"DATA\r\nRSET\r\n"
    outcome = converse([HELLO + (refused_sender + refused_recipients) * 5], settings)
    assert codes(outcome.replies) == [250, *[552, 503, 503, 503, 250, 553, 553, 554, 250] * 5]
    assert b"554 5.5.1 No valid recipients\r\n" in outcome.replies
    assert not outcome.closed


@pytest.mark.parametrize(
    "commands",
    [RCPT * 3, b"DATA\r\n" * 3, (MAIL + b"DATA\r\nRSET\r\n") * 3, REFUSED_MAIL + b"RSET\r\n" + RCPT * 3],
)
def test_what_is_out_of_place_without_a_refusal_before_it_counts(commands: bytes) -> None:
    settings = dataclasses.replace(SETTINGS, limits=dataclasses.replace(SETTINGS.limits, bad_commands=3))
    assert converse([HELLO + commands], settings).closed


def test_the_text_behind_a_refused_data_is_taken_for_commands_and_soon_ends_the_session() -> None:
    """A client that does not wait for 354 breaks RFC 5321 4.1.1.4; how much it can do by that is limited."""
    outcome = converse([HELLO + MAIL + b"DATA\r\n" + b"a line of text\r\n" * 50 + b".\r\n" + MAIL])
    assert codes(outcome.replies) == [250, 250, 503, *[500] * 18, 421]
    assert outcome.mails == []


def test_nothing_is_read_after_quit() -> None:
    outcome = converse([HELLO + b"QUIT\r\n" + MAIL + b"junk"])
    assert codes(outcome.replies) == [250, 221]
    assert outcome.closed


def test_all_replies_but_greeting_hello_and_354_have_an_enhanced_code_of_their_class() -> None:
    """RFC 2034 section 4."""
    without = {replies.START_MAIL_INPUT}
    for reply in [value for value in vars(replies).values() if isinstance(value, Reply)] + [replies.accepted("x")]:
        if reply not in without:
            assert all(line.startswith(f"{reply.code // 100}.") for line in reply.lines), reply
            assert reply == reply.with_status()


def test_a_session_in_which_a_mail_was_sent_is_as_small_as_before() -> None:
    def saved(stream: bytes) -> SmtpState:
        state = SmtpState()
        one = engine(state)
        one.receive_data(stream)
        while (event := one.next_event()) is not None:
            if not isinstance(event, BodyChunk):
                one.accept()
        return state

    before, after = saved(HELLO), saved(HELLO + envelope() + b"text\r\n.\r\n")
    before.mails = 1
    assert after == before


def test_a_refusing_answer_changes_nothing() -> None:
    state = SmtpState(helo="c", esmtp=True)
    one = engine(state)
    one.receive_data(MAIL)
    assert isinstance(one.next_event(), Mail)
    one.reply(Reply.of(550, "5.7.1", "No"))
    assert one.next_event() is None
    assert state == SmtpState(helo="c", esmtp=True, mails=1, refused=True)
    assert one.data_to_send() == b"550 5.7.1 No\r\n"


def test_a_421_ends_the_session() -> None:
    one = engine()
    one.receive_data(b"NOOP\r\nNOOP\r\n")
    assert one.next_event() == Noop("")
    one.reply(replies.SERVER_ERROR)
    assert one.next_event() is None
    assert one.closing


def test_quit_ends_the_session_whatever_is_answered() -> None:
    one = engine()
    one.receive_data(b"QUIT\r\n")
    assert one.next_event() == Quit()
    one.reply(replies.HANDLER_FAILED)
    assert one.closing


def test_an_event_is_answered_before_the_next_and_once() -> None:
    one = engine()
    with pytest.raises(LocalProtocolError):
        one.accept()
    one.receive_data(b"NOOP\r\nNOOP\r\n")
    one.next_event()
    with pytest.raises(LocalProtocolError):
        one.next_event()
    with pytest.raises(LocalProtocolError):
        one.receive_data(b"x")
    one.accept()
    with pytest.raises(LocalProtocolError):
        one.accept()
    with pytest.raises(LocalProtocolError, match="next_event"):
        one.receive_data(b"more, while a command still waits")


def test_a_state_of_another_version_is_refused() -> None:
    """Data of a newer version must not lose what this one does not know."""
    newer = msgspec.msgpack.encode({"helo": "c", "quota": 1})
    with pytest.raises(msgspec.ValidationError, match="quota"):
        msgspec.msgpack.decode(newer, type=SmtpState)


def test_a_fresh_state_takes_next_to_nothing() -> None:
    """A map without entries, whose length msgspec writes in one byte for up to 15 fields and in three for more."""
    encoded = msgspec.msgpack.encode(SmtpState())
    assert msgspec.msgpack.decode(encoded) == {}
    assert len(encoded) <= 3


def test_the_phase_follows_from_the_data() -> None:
    transaction = Transaction("id", "a@b")
    assert SmtpState().phase is Phase.START
    assert SmtpState(helo="c").phase is Phase.READY
    assert SmtpState(helo="c", transaction=transaction).phase is Phase.MAIL
    assert SmtpState(helo="c", transaction=Transaction("id", "", rcpt_tos=["x@y"])).phase is Phase.RCPT
    assert SmtpState(helo="c", closed=True).phase is Phase.CLOSED
