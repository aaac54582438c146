"""What is written on top of a mail when it goes out."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime

import pytest

from services.smtp import MailInfo
from services.smtp.trace import protocol_name, received, return_path


def info(*recipients: str, peer: str = "192.0.2.1:1234", helo: str = "client.test", mail_from: str = "a@x") -> MailInfo:
    return MailInfo(
        id="0123456789abcdef0123456789abcdef",
        mail_from=mail_from,
        rcpt_tos=recipients,
        received_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        peer=peer,
        helo=helo,
        protocol="ESMTPA",
        size=0,
        sha256="",
    )


def test_received_says_from_whom_by_whom_how_for_whom_and_when() -> None:
    assert received(info("b@y.test"), by="mx.test") == (
        b"Received: from client.test ([192.0.2.1])\r\n"
        b"\tby mx.test with ESMTPA id 0123456789abcdef0123456789abcdef\r\n"
        b"\tfor <b@y.test>;\r\n"
        b"\tFri, 02 Jan 2026 03:04:05 +0000\r\n"
    )


def test_of_several_recipients_none_is_named() -> None:
    """Each would see who else got the mail (RFC 5321 7.2)."""
    line = received(info("b@y.test", "c@y.test"), by="mx.test")
    assert b"for " not in line
    assert b"id 0123456789abcdef0123456789abcdef;\r\n" in line


@pytest.mark.parametrize(
    ("peer", "helo", "expected"),
    [
        ("[2001:db8::1]:25", "c.test", b"from c.test ([IPv6:2001:db8::1])"),
        ("192.0.2.1:1", "", b"from [192.0.2.1] ([192.0.2.1])"),
        ("192.0.2.1:1", "[192.0.2.9]", b"from [192.0.2.9] ([192.0.2.1])"),
        ("unknown", "c.test", b"from c.test\r\n"),
    ],
)
def test_a_client_is_named_by_itself_and_by_its_address(peer: str, helo: str, expected: bytes) -> None:
    assert expected in received(info("b@y", peer=peer, helo=helo), by="mx.test")


def test_it_parses_as_one_header_line() -> None:
    message = email.message_from_bytes(
        return_path(info("b@y.test")) + received(info("b@y.test"), by="mx.test") + b"Subject: x\r\n\r\n",
        policy=email.policy.default,
    )
    assert message.keys() == ["Return-Path", "Received", "Subject"]


def test_addresses_outside_of_ascii_are_utf8() -> None:
    assert "for <jürgen@müller.test>".encode() in received(info("jürgen@müller.test"), by="mx.test")


@pytest.mark.parametrize(("sender", "expected"), [("a@x", b"<a@x>"), ("", b"<>")])
def test_return_path_is_the_envelopes_sender(sender: str, expected: bytes) -> None:
    assert return_path(info("b@y", mail_from=sender)) == b"Return-Path: " + expected + b"\r\n"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"extended": False}, "SMTP"),
        ({"extended": True}, "ESMTP"),
        ({"extended": True, "tls": True}, "ESMTPS"),
        ({"extended": True, "authenticated": True}, "ESMTPA"),
        ({"extended": True, "tls": True, "authenticated": True}, "ESMTPSA"),
        ({"extended": True, "utf8": True}, "UTF8SMTP"),
        ({"extended": True, "utf8": True, "tls": True, "authenticated": True}, "UTF8SMTPSA"),
    ],
)
def test_the_protocols_have_their_registered_names(flags: dict[str, bool], expected: str) -> None:
    assert protocol_name(**flags) == expected
