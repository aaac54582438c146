"""What a smarthost is told about a mail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.smtp.forward import outgoing
from services.smtp.forward.outgoing import Text
from tests.services.smtp.forward.harness import TEXT, envelope, info_of

ALL = {"size": "1000", "8bitmime": "", "smtputf8": "", "dsn": "", "limits": "MAILMAX=3 RCPTMAX=7"}
PLAIN = Text(size=5, eight_bit=False, utf8_header=False, hops=0)
EIGHT_BIT = replace(PLAIN, eight_bit=True)
UTF8 = replace(EIGHT_BIT, utf8_header=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEXT, Text(len(TEXT), False, False, 0)),
        (b"Subject: x\r\n\r\n\xe4\r\n", Text(17, True, False, 0)),
        ("Subject: ä\r\n\r\nx\r\n".encode(), Text(18, True, True, 0)),
        (b"\r\n\xe4Received: x\r\n", Text(16, True, False, 0)),
        (b"no header at all \xe4\r\n", Text(20, True, True, 0)),
        (b"Received: x\r\n\ty\r\nRECEIVED: z\r\nX-Received: z\r\n\r\nReceived: w\r\n", Text(64, False, False, 2)),
        (b"", Text(0, False, False, 0)),
    ],
)
def test_what_a_text_asks_for(text: bytes, expected: Text) -> None:
    assert outgoing.examine(text) == replace(expected, size=len(text))


def test_parameters_go_where_they_are_known() -> None:
    mail = info_of(
        envelope(
            "one@b.test",
            "two@b.test",
            mail_options=("SIZE=9", "BODY=7BIT", "SMTPUTF8", "RET=HDRS", "ENVID=a+2Bb=c", "AUTH=<>"),
            rcpt_options=("NOTIFY=SUCCESS,FAILURE ORCPT=utf-8;jürgen@b.test",),
        )
    )
    assert outgoing.mail_parameters(mail, PLAIN, ALL) == [
        "SIZE=5",
        "BODY=7BIT",
        "SMTPUTF8",
        "RET=HDRS",
        "ENVID=a+2Bb=c",
    ]
    assert outgoing.rcpt_parameters(mail, 0, ALL) == ["NOTIFY=SUCCESS,FAILURE", "ORCPT=utf-8;jürgen@b.test"]
    assert outgoing.rcpt_parameters(mail, 1, ALL) == []
    assert outgoing.mail_parameters(mail, PLAIN, {}) == []
    assert outgoing.rcpt_parameters(mail, 0, {}) == []


def test_an_original_address_is_written_in_ascii_where_utf8_is_not_known() -> None:
    mail = info_of(envelope(mail_options=("SMTPUTF8",), rcpt_options=("ORCPT=utf-8;jürgen@例.test",)))
    assert outgoing.rcpt_parameters(mail, 0, {"dsn": ""}) == [r"ORCPT=utf-8;j\x{FC}rgen@\x{4F8B}.test"]


def test_eight_bit_text_is_declared_whatever_the_client_said() -> None:
    for options in ((), ("BODY=7BIT",), ("BODY=8BITMIME",)):
        mail = info_of(envelope(mail_options=options))
        assert outgoing.mail_parameters(mail, EIGHT_BIT, {"8bitmime": ""}) == ["BODY=8BITMIME"]


@pytest.mark.parametrize(
    ("options", "mail_from", "text", "extensions", "code"),
    [
        ((), "from@a.test", PLAIN, {}, None),
        (("BODY=8BITMIME",), "from@a.test", PLAIN, {}, None),
        ((), "from@a.test", EIGHT_BIT, {}, "5.6.3"),
        ((), "from@a.test", EIGHT_BIT, {"8bitmime": ""}, None),
        (("SMTPUTF8",), "from@a.test", PLAIN, {}, None),
        (("SMTPUTF8",), "chloé@a.test", PLAIN, {"8bitmime": ""}, "5.6.7"),
        (("SMTPUTF8",), "from@a.test", UTF8, {"8bitmime": ""}, "5.6.7"),
        (("SMTPUTF8",), "from@a.test", EIGHT_BIT, {"8bitmime": ""}, None),
        (("SMTPUTF8",), "chloé@a.test", UTF8, {"8bitmime": "", "smtputf8": ""}, None),
        ((), "from@a.test", replace(PLAIN, hops=99), {}, None),
        ((), "from@a.test", replace(PLAIN, hops=100), ALL, "5.4.6"),
    ],
)
def test_what_cannot_be_sent_is_not(
    options: tuple[str, ...], mail_from: str, text: Text, extensions: dict[str, str], code: str | None
) -> None:
    refused = outgoing.refusal(info_of(envelope(mail_from=mail_from, mail_options=options)), text, extensions)
    assert (refused and (refused.state, refused.text[:5])) == (code and ("failed", code))


def test_an_address_in_utf8_fails_alone() -> None:
    mail = info_of(envelope("jürgen@b.test", "to@b.test", mail_options=("SMTPUTF8",)))
    refused = outgoing.recipient_refusal(mail, 0, {})
    assert refused is not None
    assert refused.text.startswith("5.6.7")
    assert outgoing.recipient_refusal(mail, 1, {}) is None
    assert outgoing.recipient_refusal(mail, 0, {"smtputf8": ""}) is None


@pytest.mark.parametrize(
    ("limits", "count"),
    [("MAILMAX=3 RCPTMAX=7", 7), ("rcptmax=999999", 999999), ("RCPTMAX=0", 100), ("XRCPTMAX=5", 100), ("", 100)],
)
def test_how_many_recipients_a_smarthost_takes(limits: str, count: int) -> None:
    assert outgoing.recipients_at_once({"limits": limits}) == count
