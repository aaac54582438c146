"""AUTH as the client sees it (RFC 4954), PLAIN (RFC 4616) and LOGIN, without I/O."""

from __future__ import annotations

import dataclasses
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rr_tcp.testing import cuts
from services.smtp.auth import NO_AUTH, AuthPolicy, Exchange
from services.smtp.errors import LocalProtocolError
from services.smtp.events import Authenticate
from services.smtp.limits import AUTH_LINE
from services.smtp.protocol import SmtpEngine
from services.smtp.replies import Reply
from services.smtp.state import SmtpState
from tests.services.smtp.corpus import envelope
from tests.services.smtp.harness import AUTH, LIMITS, SETTINGS, Outcome, codes, converse

HELLO = b"EHLO c\r\n"
MAIL = b"MAIL FROM:<a@b>\r\n"
PASSWORD = b"open sesame"
MESSAGE = b64encode(b"\0alice\0" + PASSWORD)
PLAIN = b"AUTH PLAIN %s\r\n" % MESSAGE
WRONG = b"AUTH PLAIN %s\r\n" % b64encode(b"\0alice\0guess")
NAME, SECRET = b64encode(b"alice"), b64encode(PASSWORD)

GIVEN = {
    "PLAIN with the command": (PLAIN, [235]),
    "PLAIN after the command": (b"AUTH PLAIN\r\n%s\r\n" % MESSAGE, [334, 235]),
    "PLAIN, the user acts as herself": (b"AUTH PLAIN %s\r\n" % b64encode(b"alice\0alice\0" + PASSWORD), [235]),
    "LOGIN": (b"AUTH LOGIN\r\n%s\r\n%s\r\n" % (NAME, SECRET), [334, 334, 235]),
    "LOGIN, the name with the command": (b"AUTH LOGIN %s\r\n%s\r\n" % (NAME, SECRET), [334, 235]),
    "no case in names": (b"auth pLaIn %s\r\n" % MESSAGE, [235]),
}
REFUSED = {
    "wrong password": (WRONG, [535]),
    "wrong password by LOGIN": (b"AUTH LOGIN %s\r\n%s\r\n" % (NAME, b64encode(b"x")), [334, 535]),
    "acts as somebody else": (b"AUTH PLAIN %s\r\n" % b64encode(b"bob\0alice\0" + PASSWORD), [535]),
    "an empty name and password": (b"AUTH LOGIN =\r\n\r\n", [334, 535]),
    "nothing, with the command": (b"AUTH PLAIN =\r\n", [501]),
    "nothing, after the command": (b"AUTH PLAIN\r\n\r\n", [334, 501]),
    "one NUL": (b"AUTH PLAIN %s\r\n" % b64encode(b"alice\0" + PASSWORD), [501]),
    "three NULs": (b"AUTH PLAIN %s\r\n" % b64encode(b"\0alice\0open\0sesame"), [501]),
    "no UTF-8": (b"AUTH PLAIN %s\r\n" % b64encode(b"\0alice\0\xff"), [501]),
    "no base64 with the command": (b"AUTH PLAIN A\r\n", [501]),
    "right, but for what is no base64": (b"AUTH PLAIN %s!%s\r\n" % (MESSAGE[:4], MESSAGE[4:]), [501]),
    "right, but for a space": (b"AUTH PLAIN\r\n%s \r\n" % MESSAGE, [334, 501]),
    "right, but for a CR": (b"AUTH PLAIN\r\n%s\r%s\r\n" % (MESSAGE[:4], MESSAGE[4:]), [334, 501]),
    "cancelled": (b"AUTH PLAIN\r\n*\r\n", [334, 501]),
    "cancelled at the password": (b"AUTH LOGIN %s\r\n*\r\n" % NAME, [334, 501]),
    "no mechanism": (b"AUTH\r\n", [501]),
    "three words": (b"AUTH PLAIN A B\r\n", [501]),
    "unknown mechanism": (b"AUTH CRAM-MD5\r\n", [504]),
    "no mechanism's name": (b"AUTH @ AAAA\r\n", [504]),
    "a bare CR in a response": (b"AUTH PLAIN\r\nAA\rAA\r\n", [334, 501]),
    "a NUL in a response": (b"AUTH PLAIN\r\nAA\0A\r\n", [334, 501]),
    "a response over the limit": (b"AUTH PLAIN\r\n" + b"A" * AUTH_LINE + b"\r\n", [334, 500]),
    "a command over the limit": (b"AUTH PLAIN " + b"A" * AUTH_LINE + b"\r\n", [500]),
}
DIALOGUES = {**GIVEN, **REFUSED}


def talk(*pieces: bytes, auth: AuthPolicy = AUTH) -> Outcome:
    return converse([HELLO, *pieces], auth=auth)


def replies_to(*pieces: bytes, auth: AuthPolicy = AUTH) -> list[int]:
    return codes(talk(*pieces, auth=auth).replies)[1:]


@pytest.mark.parametrize("name", GIVEN)
def test_right_credentials_authenticate_once(name: str) -> None:
    dialogue, expected = GIVEN[name]
    assert replies_to(dialogue, PLAIN, b"QUIT\r\n") == [*expected, 503, 221]


@pytest.mark.parametrize("name", REFUSED)
def test_whatever_ends_an_exchange_the_next_line_is_a_command_and_another_attempt_may_succeed(name: str) -> None:
    dialogue, expected = REFUSED[name]
    assert replies_to(dialogue, b"NOOP\r\n", PLAIN) == [*expected, 250, 235]


@pytest.mark.parametrize("name", [name for name in DIALOGUES if "limit" not in name])
def test_an_exchange_cut_anywhere_gives_the_same_replies(name: str) -> None:
    stream = DIALOGUES[name][0] + b"NOOP\r\n"
    whole = talk(stream).replies
    for pieces in cuts(stream):
        assert talk(*pieces).replies == whole


@pytest.mark.parametrize("name", [name for name in DIALOGUES if "limit" in name])
@pytest.mark.parametrize("size", [1000, 4096, AUTH_LINE - 1, AUTH_LINE, AUTH_LINE + 1])
def test_a_line_over_the_limit_is_answered_once_and_its_size_is_never_kept(name: str, size: int) -> None:
    dialogue, expected = DIALOGUES[name]
    stream = dialogue + b"NOOP\r\n"
    outcome = talk(*(stream[start : start + size] for start in range(0, len(stream), size)))
    assert codes(outcome.replies)[1:] == [*expected, 250]
    assert outcome.largest_state < AUTH_LINE + 200


def test_a_response_may_have_12288_bytes() -> None:
    """RFC 4954 section 4; the limit counts the CRLF."""
    longest = b"A" * (AUTH_LINE - 4) + b"\r\n"
    assert replies_to(b"AUTH PLAIN\r\n", longest) == [334, 501]
    assert b"Malformed PLAIN" in talk(b"AUTH PLAIN\r\n", longest).replies


def test_the_replies_have_the_enhanced_status_codes_of_rfc_4954() -> None:
    def answer(dialogue: str) -> bytes:
        return talk(DIALOGUES[dialogue][0]).replies.splitlines()[-1]

    assert answer("LOGIN").startswith(b"235 2.7.0 ")
    assert answer("wrong password").startswith(b"535 5.7.8 ")
    assert answer("cancelled").startswith(b"501 5.7.0 ")
    assert answer("no base64 with the command").startswith(b"501 5.5.2 ")
    assert answer("a response over the limit").startswith(b"500 5.5.6 ")
    assert answer("unknown mechanism").startswith(b"504 5.5.4 ")


def test_a_challenge_is_base64_and_nothing_else_also_where_it_is_empty() -> None:
    assert talk(b"AUTH PLAIN\r\n").replies.endswith(b"\r\n334 \r\n")
    assert talk(b"AUTH LOGIN\r\n", NAME + b"\r\n").replies.endswith(b"\r\n334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n")


def test_what_looks_like_a_command_is_a_response() -> None:
    """RSET and DATA are base64, QUIT is too; EHLO with a name is not."""
    for line in (b"RSET", b"DATA", b"QUIT"):
        assert replies_to(b"AUTH LOGIN\r\n", line + b"\r\n", SECRET + b"\r\n", b"NOOP\r\n") == [334, 334, 535, 250]
    assert replies_to(b"AUTH LOGIN\r\n", HELLO, HELLO) == [334, 501, 250]


def test_a_bare_lf_in_an_exchange_ends_the_session() -> None:
    outcome = talk(b"AUTH PLAIN\r\n", MESSAGE + b"\n")
    assert codes(outcome.replies) == [250, 334, 421]
    assert outcome.closed


def test_auth_needs_ehlo_and_no_mail_under_way() -> None:
    assert codes(converse([PLAIN], auth=AUTH).replies) == [503]
    assert codes(converse([b"HELO c\r\n", PLAIN], auth=AUTH).replies) == [250, 503]
    assert replies_to(MAIL, PLAIN, b"RCPT TO:<c@d>\r\n", PLAIN, b"RSET\r\n", PLAIN) == [250, 503, 250, 503, 250, 235]


def test_who_the_client_is_outlives_mails_rset_and_ehlo() -> None:
    required = dataclasses.replace(AUTH, required=True)
    mail = envelope() + b"text\r\n.\r\n"
    assert replies_to(PLAIN, mail, b"RSET\r\n", HELLO, mail, PLAIN, auth=required) == [
        *[235, 250, 250, 354, 250],
        *[250, 250, 250, 250, 354, 250, 503],
    ]


def test_failures_are_counted_and_the_last_one_ends_the_session() -> None:
    assert LIMITS.auth_failures == 3
    outcome = talk(
        WRONG, b"AUTH PLAIN =\r\n", b"AUTH PLAIN\r\n*\r\n", b"AUTH LOGIN\r\n", NAME + b"\r\n", b"eA==\r\nNOOP\r\n"
    )
    assert codes(outcome.replies)[1:] == [535, 501, 334, 501, 334, 334, 421]
    assert outcome.closed
    assert not talk(WRONG, WRONG, PLAIN).closed


def test_what_is_no_attempt_counts_as_a_bad_command() -> None:
    """A client that begins and cancels, or sends no base64, does not go on for ever."""
    outcome = talk(*[b"AUTH LOGIN\r\n*\r\n"] * 50)
    assert codes(outcome.replies)[-1] == 421
    assert codes(outcome.replies).count(501) == LIMITS.bad_commands - 1


@pytest.mark.parametrize("name", DIALOGUES)
def test_nothing_of_an_exchange_is_left_behind(name: str) -> None:
    """And a password is in no state between two events, whatever line ends an event."""
    states: list[bytes] = []
    lines = (HELLO + DIALOGUES[name][0] + b"NOOP\r\n").splitlines(keepends=True)
    converse(lines, auth=AUTH, saved=states.append)
    for state in states:
        assert PASSWORD not in state
        assert SECRET not in state
        assert MESSAGE not in state
    assert b"mechanism" not in states[-1]
    assert b"partial" not in states[-1]
    assert b"sesame" not in states[-1]


def test_the_piece_of_a_response_that_has_not_ended_goes_with_its_end() -> None:
    states: list[bytes] = []
    converse([HELLO, b"AUTH PLAIN\r\n", MESSAGE, b"\r\n"], auth=AUTH, saved=states.append)
    assert MESSAGE in states[-2]
    assert MESSAGE not in states[-1]
    assert b"authenticated" in states[-1]


def test_an_exchange_does_not_show_what_was_said() -> None:
    exchange = Exchange("PLAIN", MESSAGE.decode(), responses=[PASSWORD])
    assert repr(exchange) == "Exchange('PLAIN', responses=1)"


def test_mechanisms_are_announced_where_they_are_to_be_had() -> None:
    assert b"\r\n250-AUTH LOGIN PLAIN\r\n" in talk().replies
    for auth in (NO_AUTH, AuthPolicy(elsewhere=True), AuthPolicy(elsewhere=True, required=True)):
        assert b"AUTH" not in talk(auth=auth).replies


def test_where_there_is_none_auth_is_not_implemented_and_without_tls_it_is_refused() -> None:
    assert replies_to(PLAIN, b"AUTH\r\n", auth=NO_AUTH) == [502, 502]
    outcome = talk(PLAIN, b"AUTH LOGIN\r\n", auth=AuthPolicy(elsewhere=True))
    assert codes(outcome.replies)[1:] == [538, 538]
    assert b"538 5.7.11 " in outcome.replies


REQUIRED = dataclasses.replace(AUTH, required=True)


def test_without_the_authentication_that_is_required_nothing_is_to_be_had_but_what_leads_to_it() -> None:
    """RFC 4954 section 6 has the list."""
    commands = [MAIL, b"RCPT TO:<c@d>\r\n", b"DATA\r\n", b"VRFY a\r\n", b"HELP\r\n"]
    assert replies_to(*commands, auth=REQUIRED) == [530] * 5
    assert replies_to(b"NOOP\r\n", b"RSET\r\n", HELLO, b"XXXX\r\n", b"QUIT\r\n", auth=REQUIRED) == [
        250,
        250,
        250,
        500,
        221,
    ]
    assert replies_to(PLAIN, MAIL, b"RCPT TO:<c@d>\r\n", auth=REQUIRED) == [235, 250, 250]
    assert b"530 5.7.0 " in talk(MAIL, auth=REQUIRED).replies


def test_before_ehlo_a_client_is_told_to_send_that_first() -> None:
    assert codes(converse([MAIL, b"DATA\r\n", b"VRFY a\r\n", b"AUTH PLAIN\r\n"], auth=REQUIRED).replies) == [
        503,
        503,
        530,
        503,
    ]


def test_nobody_is_authenticated_by_default() -> None:
    """The code around the engine accepts what it knows nothing of; credentials are no such thing."""
    engine = SmtpEngine(SmtpState(helo="c", esmtp=True), SETTINGS, new_id=str, auth=AUTH)
    engine.receive_data(PLAIN)
    assert isinstance(engine.next_event(), Authenticate)
    with pytest.raises(LocalProtocolError, match="authenticate"):
        engine.accept()
    assert not engine.state.authenticated


def test_a_temporary_failure_counts_for_nothing() -> None:
    state = SmtpState(helo="c", esmtp=True)
    for _ in range(2 * LIMITS.auth_failures):
        engine = SmtpEngine(state, SETTINGS, new_id=str, auth=AUTH)
        engine.receive_data(PLAIN)
        engine.next_event()
        engine.reply(Reply.of(454, "4.7.0", "Later"))
        assert engine.data_to_send() == b"454 4.7.0 Later\r\n"
    assert (state.auth_failures, state.auth, state.closed) == (0, None, False)


def mail_options(*pieces: bytes) -> list[str]:
    """The parameters that come of `MAIL ... AUTH=...`, the last of the pieces."""
    outcome = talk(*pieces[:-1], b"MAIL FROM:<a@b> " + pieces[-1] + b"\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n")
    [(transaction, _)] = outcome.mails
    return transaction.mail_options


@pytest.mark.parametrize("value", ["<>", "e+3Dmc2@example.com", "Alice@X.test", '"a+20b"@x.test'])
def test_who_submitted_a_mail_is_kept_when_a_user_says_so_and_nobody_of_a_stranger(value: str) -> None:
    """RFC 4954 section 5."""
    assert mail_options(PLAIN, b"SIZE=10 AUTH=" + value.encode()) == ["SIZE=10", f"AUTH={value}"]
    assert mail_options(b"auth=" + value.encode() + b" SIZE=10") == ["AUTH=<>", "SIZE=10"]


@pytest.mark.parametrize(
    "parameter",
    ["AUTH", "AUTH=", "AUTH=a", "AUTH=<a@b>", "AUTH=<>a@b", "AUTH=a@b+", "AUTH=@x:a@b", "AUTH=a@b+3E", "AUTH=+0D+0A"],
)
def test_a_malformed_submitter_is_refused(parameter: str) -> None:
    command = f"MAIL FROM:<a@b> {parameter}\r\n".encode()
    assert replies_to(PLAIN, command) == [235, 501]


def test_a_submitter_may_make_mail_500_bytes_longer() -> None:
    """RFC 4954 section 3; an address itself is never that long."""
    assert replies_to(b"MAIL FROM:<a@b> AUTH=%s@b\r\n" % (b"+61" * 64)) == [250]
    assert replies_to(b"MAIL FROM:<a@b> AUTH=%s@b\r\n" % (b"+61" * 65)) == [501]


def test_without_auth_there_is_no_such_parameter() -> None:
    for auth in (NO_AUTH, AuthPolicy(elsewhere=True)):
        assert replies_to(b"MAIL FROM:<a@b> AUTH=<>\r\n", auth=auth) == [555]


def test_bdat_in_an_exchange_is_a_response() -> None:
    assert replies_to(b"AUTH LOGIN\r\n", b"BDAT\r\n", b"BDAT 5 LAST\r\n", b"NOOP\r\n") == [334, 334, 501, 250]
    assert replies_to(b"AUTH PLAIN\r\n", b"BDAT" + b"A" * AUTH_LINE + b"\r\n", b"NOOP\r\n") == [334, 500, 250]


_LINES = st.sampled_from(
    [
        *(dialogue for dialogue, _ in DIALOGUES.values() if len(dialogue) < 200),
        *(HELLO, b"HELO c\r\n", MAIL, b"RSET\r\n", b"AUTH LOGIN\r\n", b"AUTH PLAIN\r\n", b"*\r\n", b"=\r\n", b"\r\n"),
        *(NAME + b"\r\n", SECRET + b"\r\n", MESSAGE + b"\r\n", MESSAGE, b"A" * 700, b"\r", b"\n", b"\0"),
        *(b"DATA\r\n", b"RCPT TO:<c@d>\r\n", b".\r\n", b"AUTH", b" ", b"A" * AUTH_LINE),
    ]
)


@given(st.data())
def test_random_dialogues_in_random_pieces_give_what_they_give_in_one(data: st.DataObject) -> None:
    stream = HELLO + b"".join(data.draw(st.lists(_LINES, max_size=20)))
    marks = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    pieces = [stream[start:stop] for start, stop in zip([0, *marks], [*marks, len(stream)], strict=True)]
    auth = dataclasses.replace(AUTH, required=data.draw(st.booleans()))
    whole, outcome = converse([stream], auth=auth), converse(pieces, auth=auth)
    assert (outcome.replies, outcome.mails, outcome.closed) == (whole.replies, whole.mails, whole.closed)
    assert outcome.largest_state < AUTH_LINE + 1000
