"""Which mails `mails` and `wait` mean, and the subjects of headers however broken."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rr_tcp import ConfigurationError
from services.smtp import MailEnvelope, MailStore
from services.smtp.cli.filters import HEADER, decode_subject, parse_since, subject_of
from services.smtp.mailstore.interface import PIECE
from tests.services.smtp.cli.runs import run

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

MAILS = [
    ("alice@x.test", ["bob@y.test"], b"Subject: Welcome, Bob\r\n\r\nSubject: in the body\r\n"),
    ("", ["carol@y.test", "bob@y.test"], b"subject: =?utf-8?b?R3LDvMOfZSBhdXMgWsO8cmljaA==?=\r\n\r\nhello\r\n"),
    ("Alice@X.test", ["dave+tag@z.test"], b"To: dave\r\nSubject: a folded\r\n subject\r\n\r\n"),
    ("eve@x.test", ["malice@x.test"], b"no header at all"),
]


@pytest.fixture
def filled(store: MailStore, url: str) -> str:
    """The URL of a store with some mails, a minute apart."""
    for number, (sender, recipients, text) in enumerate(MAILS):
        envelope = MailEnvelope(
            id=f"{number:032}",
            mail_from=sender,
            rcpt_tos=tuple(recipients),
            received_at=NOW + timedelta(minutes=number),
            peer="",
        )
        store.add(envelope, (text,))
    return url


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), [0, 1, 2, 3]),
        (("--to", "bob@y.test"), [0, 1]),
        (("--to", "BOB@Y.test"), [0, 1]),
        (("--to", "alice@x.test"), []),
        (("--to", "*@y.test"), [0, 1]),
        (("--to", "*+*"), [2]),
        (("--to", "bob@y?test"), []),
        (("--from", "alice@x.test"), [0, 2]),
        (("--from", ""), [1]),
        (("--from", "*"), [0, 1, 2, 3]),
        (("--subject", "welcome"), [0]),
        (("--subject", "in the body"), []),
        (("--subject", "grüsse aus zürich"), [1]),
        (("--subject", "folded subject"), [2]),
        (("--subject", ""), [0, 1, 2, 3]),
        (("--from", "alice@x.test", "--to", "bob@y.test"), [0]),
        (("--since", "2026-01-02T03:06:05Z"), [2, 3]),
        (("--since", "2026-01-02T03:06:05"), [2, 3]),
        (("--since", "2026-01-02T05:07:05+02:00"), [3]),
        (("--limit", "2"), [2, 3]),
        (("--to", "bob@y.test", "--limit", "1"), [1]),
    ],
)
def test_mails_are_listed_that_match_all_options(filled: str, options: tuple[str, ...], expected: list[int]) -> None:
    code, output, errors = run("--store", filled, "mails", "--json", *options)
    assert (code, errors) == (0, "")
    assert [int(mail["id"]) for mail in json.loads(output)] == expected
    code, output, errors = run("--store", filled, "mails", *options)
    assert [int(line.split()[0]) for line in output.splitlines()] == expected


@pytest.mark.parametrize("since", ["yesterday", "10", "", "2026-13-01"])
def test_a_time_that_is_none_is_an_error_that_says_what_is_one(filled: str, since: str) -> None:
    code, output, errors = run("--store", filled, "mails", "--since", since)
    assert (code, output) == (2, b"")
    assert errors.startswith(f"--since is {since!r}: give a time")


def test_since_can_say_how_long_ago() -> None:
    assert parse_since("90m", NOW) == NOW - timedelta(minutes=90)
    with pytest.raises(ConfigurationError):
        parse_since("-90m", NOW)


@pytest.mark.parametrize("limit", ["0", "-1", "two"])
def test_a_limit_that_is_none_is_a_wrong_command_line(filled: str, limit: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run("--store", filled, "mails", "--limit", limit)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"", ""),
        (b"Subject: plain", "plain"),
        (b"Subject: =?iso-8859-1?q?Gr=FC=DFe?= =?utf-8?b?IPCfkYs=?=\r\n", "Grüße 👋"),
        ("Subject: Grüße\r\n".encode(), "Grüße"),
        (b"Subject: \xff\xfe\r\n", "\ufffd\ufffd"),
        (b"Subject: =?no-such-charset?q?x?=\r\n", "x"),
        (b"Subject: one\r\nSubject: two\r\n", "one"),
        (b"Subject:\r\n", ""),
        (b"\r\nSubject: in the body\r\n", ""),
        (b"From nobody\nSubject: unix\n", "unix"),
    ],
)
def test_subjects_are_decoded_as_far_as_they_can_be(header: bytes, expected: str) -> None:
    assert decode_subject(header) == expected


@settings(deadline=None)  # a machine under load takes its time, which is not what this is about
@given(st.binary(max_size=200))
@example(b"=?=?utf-8?q?=00?= =?utf-8?q??=")
@example(b"\r\n\t=?utf-8?q?=5b" * 40)
def test_no_header_raises_anything(junk: bytes) -> None:
    for header in (junk, b"Subject: " + junk, b"Subject: =?utf-8?q?" + junk + b"?=\r\n"):
        assert isinstance(decode_subject(header), str)


def test_a_subject_is_found_across_pieces_and_no_further_than_a_header_is_read(store: MailStore) -> None:
    def add(number: int, text: bytes) -> str:
        mail_id = f"{number:032}"
        envelope = MailEnvelope(id=mail_id, mail_from="", rcpt_tos=(), received_at=NOW, peer="")
        store.add(envelope, (text,))
        return mail_id

    filler = b"X-Filler: " + b"x" * 66 + b"\r\n"
    late = filler * (PIECE // len(filler) + 1) + b"Subject: late\r\n\r\n"
    assert subject_of(store, add(0, late)) == "late"
    assert subject_of(store, add(1, filler * (2 * HEADER // len(filler)) + b"Subject: too late\r\n\r\n")) == ""
    assert subject_of(store, f"{9:032}") == ""
