"""Mails from a store to a real smarthost."""

from __future__ import annotations

import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from services.smtp.forward.schedule import Schedule
from tests.services.smtp.forward.harness import TEXT, Mails
from tests.services.smtp.forward.smarthost import (
    Sink,
    check_password,
    relay_to,
    running_sink,
    scripted,
)

RECEIVED = (
    b"Received: from client.test ([192.0.2.1])\r\n\tby mx.test with ESMTP id %s\r\n\tfor <to@b.test>;"
    b"\r\n\tFri, 02 Jan 2026 03:04:05 +0000\r\n"
)


def test_a_mail_arrives_as_it_came_with_a_received_line_on_top(mails: Mails, sink: Sink) -> None:
    mail_id = mails.add()
    mails.consume(relay_to(sink.port))
    [taken] = sink.taken
    assert (taken.mail_from, taken.rcpt_tos) == ("from@a.test", ["to@b.test"])
    assert taken.text == RECEIVED % mail_id.encode() + TEXT
    assert mails.left == 0


def test_all_recipients_get_it_in_one_transaction(mails: Mails, sink: Sink) -> None:
    mails.add("one@b.test", "postmaster", "two@[IPv6:::1]")
    mails.consume(relay_to(sink.port))
    [taken] = sink.taken
    assert taken.rcpt_tos == ["one@b.test", "postmaster", "two@[IPv6:::1]"]


def test_an_address_is_sent_letter_by_letter_as_it_came(mails: Mails) -> None:
    mails.add('"odd, \\" \\@ one"@b.test', mail_from="")
    with scripted([b"220 s\r\n", b"250 s\r\n", b"250 OK\r\n", b"550 no\r\n", b"250 OK\r\n"]) as (port, came):
        mails.consume(relay_to(port))
    assert came[2] == b'RCPT TO:<"odd, \\" \\@ one"@b.test>\r\n'


def test_an_address_that_no_command_can_carry_fails_alone(mails: Mails, sink: Sink) -> None:
    """Such as one with a control character, which the library refuses to send: the others are not held up."""
    mails.add("one@b.test", '"a\x07b"@b.test', "two@b.test", mail_from="")
    mails.consume(relay_to(sink.port))
    [taken] = sink.taken
    assert taken.rcpt_tos == ["one@b.test", "two@b.test"]
    assert mails.left == 0


def test_the_null_sender_stays_the_null_sender(mails: Mails, sink: Sink) -> None:
    mails.add(mail_from="")
    mails.consume(relay_to(sink.port))
    assert [taken.mail_from for taken in sink.taken] == ["<>"]  # as aiosmtpd has it


def test_each_recipient_is_tried_until_its_own_end(mails: Mails, sink: Sink) -> None:
    """One is taken at once, one after two refusals for now, one never: the first gets no second copy."""
    mails.add("now@b.test", "later@b.test", "never@b.test", rcpt_options=("", "", "NOTIFY=NEVER"))
    sink.rcpt_replies["later@b.test"] = ["450 4.2.1 busy", "451 4.3.0 still busy"]
    sink.rcpt_replies["never@b.test"] = ["550 5.1.1 nobody"]
    mails.consume(relay_to(sink.port))
    assert sink.deliveries == {"now@b.test": 1, "later@b.test": 1}
    assert mails.left == 0


def test_what_a_text_is_answered_counts_for_the_recipients_that_were_taken(mails: Mails, sink: Sink) -> None:
    mails.add("one@b.test", "two@b.test", mail_from="")
    sink.rcpt_replies["one@b.test"] = ["550 5.1.1 nobody"]
    sink.data_replies = ["451 4.3.0 come back", "554 5.6.0 no such text here"]
    mails.consume(relay_to(sink.port))
    assert sink.taken == []
    assert sink.data_replies == []
    assert mails.left == 0


@pytest.mark.parametrize("reply", ["451 4.3.0 come back", "421 4.3.2 closing", ""], ids=["451", "421", "the end"])
def test_a_mail_that_is_not_taken_now_is_tried_again(mails: Mails, sink: Sink, reply: str) -> None:
    mails.add()
    sink.mail_replies = [reply]
    mails.consume(relay_to(sink.port))
    assert sink.deliveries == {"to@b.test": 1}


def test_a_connection_that_ends_before_the_text_is_answered_is_a_retry(mails: Mails, sink: Sink) -> None:
    mails.add()
    sink.data_replies = [""]
    mails.consume(relay_to(sink.port))
    assert sink.deliveries == {"to@b.test": 1}
    assert sink.sessions == 2


def test_a_smarthost_that_breaks_off_in_the_middle_of_a_text_gets_it_again(mails: Mails) -> None:
    mails.add(text=TEXT + b"x" * 76 + b"\r\n" * 1_000_000, mail_from="")
    hello = [b"220 s\r\n", b"250 s\r\n", b"250 OK\r\n", b"250 OK\r\n", b"354 go\r\n"]
    with scripted(hello, [b"220 s\r\n", b"250 s\r\n", b"554 5.7.1 no\r\n"]) as (port, came):
        mails.consume(relay_to(port))
    assert [packet[:4] for packet in came] == [b"EHLO", b"MAIL", b"RCPT", b"DATA", b"EHLO", b"MAIL"]


@pytest.mark.parametrize("answer", [b"250 OK\r\n", b"221 2.0.0 idle for too long\r\n"])
def test_a_smarthost_that_never_asked_for_the_text_has_not_taken_it(mails: Mails, answer: bytes) -> None:
    """A reply that is out of step, where 354 was due."""
    mails.add(mail_from="")
    hello = [b"220 s\r\n", b"250 s\r\n", b"250 OK\r\n", b"250 OK\r\n"]
    with scripted([*hello, answer], [*hello, b"354 go\r\n", b"250 OK\r\n"]) as (port, came):
        mails.consume(relay_to(port))
    assert [packet[:4] for packet in came].count(b"DATA") == 2
    assert came[-1].endswith(b"\r\n.\r\n")
    assert mails.left == 0


def test_mails_share_a_connection(mails: Mails, sink: Sink) -> None:
    for _ in range(5):
        mails.add()
    mails.consume(relay_to(sink.port), concurrency=1)
    assert len(sink.taken) == 5
    assert sink.sessions == 1


def test_a_connection_is_shared_after_refusals_too(mails: Mails, sink: Sink) -> None:
    for number in range(5):
        mails.add(f"to{number}@b.test", mail_from="")
    sink.mail_replies = ["550 5.7.1 not you"]
    sink.rcpt_replies["to1@b.test"] = ["550 5.1.1 nobody"]
    sink.data_replies = ["554 5.6.0 not that"]
    mails.consume(relay_to(sink.port), concurrency=1)
    assert sink.deliveries == {"to3@b.test": 1, "to4@b.test": 1}
    assert sink.sessions == 1


def test_a_connection_that_ended_while_nobody_used_it_costs_no_try(
    mails: Mails, info: pytest.LogCaptureFixture
) -> None:
    """As with a server that ends sessions after so many mails."""
    taken = [b"220 s\r\n", b"250 s\r\n", b"250 OK\r\n", b"250 OK\r\n", b"354 go\r\n", b"250 OK\r\n"]
    mails.add()
    mails.add()
    with scripted([*taken, b"421 4.7.0 enough\r\n"], [*taken, b"221 bye\r\n"]) as (port, came):
        mails.consume(relay_to(port), concurrency=1, schedule=Schedule(first=600))
    assert [packet[:4] for packet in came].count(b"MAIL") == 3
    assert mails.left == 0
    assert "later" not in info.text


def test_so_many_recipients_go_in_one_mail_as_the_smarthost_takes(mails: Mails, sink: Sink) -> None:
    recipients = [f"to{number}@b.test" for number in range(250)]
    mails.add(*recipients)
    sink.extensions = ["SIZE 1000000", "LIMITS MAILMAX=5 RCPTMAX=120"]
    mails.consume(relay_to(sink.port))
    assert [len(taken.rcpt_tos) for taken in sink.taken] == [120, 120, 10]
    assert sink.deliveries == dict.fromkeys(recipients, 1)


def test_recipients_that_are_too_many_for_one_mail_go_in_the_next_at_once(mails: Mails, sink: Sink) -> None:
    recipients = [f"to{number}@b.test" for number in range(5)]
    mails.add(*recipients)
    for number in (3, 4):
        sink.rcpt_replies[f"to{number}@b.test"] = ["452 4.5.3 too many"]
    mails.consume(relay_to(sink.port), schedule=Schedule(first=600))
    assert [taken.rcpt_tos for taken in sink.taken] == [recipients[:3], recipients[3:]]


def test_552_is_too_many_behind_others_and_final_for_the_first(mails: Mails, sink: Sink) -> None:
    """RFC 5321 4.5.3.1.10: what RFC 821 had servers say of too many recipients is no refusal of them."""
    mails.add("one@b.test", "two@b.test", "full@b.test", mail_from="")
    sink.rcpt_replies["two@b.test"] = ["552 too many recipients"]
    sink.rcpt_replies["full@b.test"] = ["552 5.2.2 mailbox full"] * 3
    mails.consume(relay_to(sink.port), schedule=Schedule(first=600))
    assert [taken.rcpt_tos for taken in sink.taken] == [["one@b.test"], ["two@b.test"]]
    assert (mails.left, sink.rcpt_replies["full@b.test"]) == (0, [])


def test_parameters_are_those_that_the_smarthost_knows(mails: Mails, sink: Sink) -> None:
    mails.add(mail_options=("SIZE=1", "BODY=8BITMIME", "RET=HDRS", "ENVID=x"), rcpt_options=("NOTIFY=NEVER",))
    mails.consume(relay_to(sink.port))
    [taken] = sink.taken
    assert taken.mail_options == [f"SIZE={len(taken.text)}", "BODY=8BITMIME"]


def test_addresses_in_utf8_are_sent_as_they_are(mails: Mails, sink: Sink) -> None:
    mails.add("jürgen@bücher.test", mail_from="chloé@a.test", mail_options=("SMTPUTF8",))
    mails.consume(relay_to(sink.port))
    [taken] = sink.taken
    assert (taken.mail_from, taken.rcpt_tos) == ("chloé@a.test", ["jürgen@bücher.test"])
    assert "for <jürgen@bücher.test>".encode() in taken.text


def test_eight_bit_text_is_never_sent_to_a_smarthost_that_does_not_announce_it(mails: Mails, sink: Sink) -> None:
    sink.extensions = ["SIZE 1000000"]
    mails.add(text=b"Subject: x\r\n\r\n\xe4\r\n", mail_from="")
    mails.add("ascii@b.test", mail_options=("BODY=8BITMIME",))
    mails.consume(relay_to(sink.port))
    assert sink.deliveries == {"ascii@b.test": 1}
    assert mails.left == 0


def test_a_mail_that_goes_in_circles_is_stopped(mails: Mails, sink: Sink) -> None:
    mails.add(text=b"Received: by somebody\r\n" * 99 + TEXT, mail_from="")
    mails.add("straight@b.test", text=b"Received: by somebody\r\n" * 98 + TEXT)
    mails.consume(relay_to(sink.port))
    assert sink.deliveries == {"straight@b.test": 1}


def test_a_smarthost_that_is_not_there_costs_a_try_and_no_mail(mails: Mails, info: pytest.LogCaptureFixture) -> None:
    with running_sink() as gone:
        pass
    mails.add()
    mails.consume(relay_to(gone.port), schedule=Schedule(first=600))
    assert mails.left == 1
    assert f"the smarthost 127.0.0.1:{gone.port} cannot be used" in info.text


def test_a_smarthost_that_is_too_slow_costs_a_try_and_no_mail(
    mails: Mails, sink: Sink, info: pytest.LogCaptureFixture
) -> None:
    mails.add()
    released = threading.Event()
    sink.hold = lambda: released.wait(20)
    mails.consume(relay_to(sink.port, timeout=0.1), schedule=Schedule(first=600))
    released.set()
    assert mails.left == 1
    assert "Timed out" in info.text


def test_a_smarthost_that_greets_without_extensions_gets_mail_too(mails: Mails) -> None:
    mails.add()
    hello = [b"220 s\r\n", b"502 no such command\r\n", b"250 s\r\n"]
    with scripted([*hello, *[b"250 OK\r\n"] * 2, b"354 go\r\n", b"250 OK\r\n", b"221 bye\r\n"]) as (port, came):
        mails.consume(relay_to(port))
    assert came[:3] == [b"EHLO mx.test\r\n", b"HELO mx.test\r\n", b"MAIL FROM:<from@a.test>\r\n"]
    assert mails.left == 0


def test_nothing_secret_and_nothing_of_a_text_is_logged(
    mails: Mails, sink: Sink, info: pytest.LogCaptureFixture
) -> None:
    mails.add(text=b"Subject: confidential\r\n\r\nconfidential\r\n")
    sink.data_replies = ["550 5.7.1 \x1b[31mred\x00" + "x" * 400]
    mails.consume(relay_to(sink.port))
    assert "to@b.test" in info.text
    assert "confidential" not in info.text
    assert "\x1b" not in info.text
    assert "x" * 201 not in info.text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, private_key = directory / "sink.crt", directory / "sink.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    command += ["-days", "1", "-subj", "/CN=sink", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", private_key, "-out", certificate], check=True, capture_output=True)
    return certificate, private_key


@pytest.fixture
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


@pytest.mark.filterwarnings(
    "ignore:Requiring AUTH while not requiring TLS"
)  # aiosmtpd knows no other TLS than STARTTLS
@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_user_logs_in_over_tls(
    mails: Mails, certificate: tuple[Path, Path], server_tls: ssl.SSLContext, security: str
) -> None:
    options = (
        {"ssl_context": server_tls} if security == "tls" else {"tls_context": server_tls, "require_starttls": True}
    )
    auth = {"authenticator": check_password(b"secret"), "auth_required": True, "auth_require_tls": False}
    trusting = ssl.create_default_context(cafile=certificate[0])
    mails.add()
    with running_sink(**options, **auth) as sink:
        mails.consume(
            relay_to(
                sink.port,
                security="tls" if security == "tls" else "starttls",
                user="user",
                password="secret",
                tls=trusting,
            )
        )
    assert sink.deliveries == {"to@b.test": 1}


def test_a_certificate_of_nobody_we_know_gets_neither_mail_nor_password(
    mails: Mails, server_tls: ssl.SSLContext, info: pytest.LogCaptureFixture
) -> None:
    mails.add()
    with running_sink(tls_context=server_tls) as sink:
        relay = relay_to(sink.port, security="starttls", user="user", password="secret")
        mails.consume(relay, schedule=Schedule(first=600))
    assert sink.taken == []
    assert mails.left == 1
    assert "certificate" in info.text


def test_a_smarthost_that_offers_no_starttls_gets_neither(mails: Mails, sink: Sink) -> None:
    mails.add()
    mails.consume(relay_to(sink.port, security="starttls"), schedule=Schedule(first=600))
    assert sink.taken == []
    assert mails.left == 1


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_a_wrong_password_fails_no_mail(mails: Mails, info: pytest.LogCaptureFixture) -> None:
    mails.add()
    options = {"authenticator": check_password(b"secret"), "auth_required": True, "auth_require_tls": False}
    with running_sink(**options) as sink:
        mails.consume(relay_to(sink.port, user="user", password="wrong"), schedule=Schedule(first=600))
        assert mails.left == 1
        assert "535" in info.text
        assert "wrong" not in info.text
        mails.add("without@b.test")
        mails.consume(relay_to(sink.port), schedule=Schedule(first=600))
    assert mails.left == 2, "530, authentication required, is no fault of the mail"
