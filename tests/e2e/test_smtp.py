"""The ESMTP service, through real sockets and smtplib."""

from __future__ import annotations

import hashlib
import itertools
import re
import smtplib
import uuid
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from typing import Any

import pytest

from tests.e2e.clients import RawClient, dot_stuffed
from tests.e2e.corpus import CORPUS
from tests.e2e.targets import Target

MESSAGE = b"Subject: test\r\n\r\n.dots and \xff bytes\r\n"


def address(name: str = "to") -> str:
    """An address that no other test uses."""
    return f"{name}-{uuid.uuid4().hex}@example.test"


def received(stack: Target, recipient: str) -> list[dict[str, Any]]:
    return [mail for mail in stack.mails() if recipient in mail["rcpt_tos"]]


def parts(recipient: str, content: bytes) -> list[bytes]:
    """What a client sends to deliver a mail, in the pieces that are answered."""
    return [
        b"EHLO client.test\r\n",
        b"MAIL FROM:<from@example.test>\r\n",
        b"RCPT TO:<%s>\r\n" % recipient.encode(),
        b"DATA\r\n",
        dot_stuffed(content),
        b"QUIT\r\n",
    ]


def dialogue(recipient: str, content: bytes) -> bytes:
    return b"".join(parts(recipient, content))


def codes(replies: bytes) -> list[bytes]:
    """The codes of the replies, continuation lines left out."""
    return [line[:3] for line in replies.splitlines() if line[3:4] != b"-"]


def normalised(replies: bytes) -> bytes:
    """The replies with the same id for every mail."""
    return re.sub(rb"[0-9a-f]{32}", b"ID", replies)


def expected_replies(stack: Target, content: bytes) -> bytes:
    """What a client is told that sends a mail piece by piece and waits for each reply."""
    pieces = parts(address(), content)
    with RawClient(stack.smtp) as client:
        replies = [client.reply()]
        for piece in pieces:
            client.send(piece)
            replies.append(client.reply())
    assert [reply[:3] for reply in replies] == [b"220", b"250", b"250", b"250", b"354", b"250", b"221"]
    return normalised(b"".join(replies))


def test_a_mail_sent_with_smtplib_is_listed_and_kept_byte_for_byte(stack: Target) -> None:
    recipient, other = address(), address("other")
    with smtplib.SMTP(stack.smtp.host, stack.smtp.port, timeout=30) as client:
        client.ehlo()
        assert client.has_extn("pipelining")
        assert client.has_extn("8bitmime")
        assert int(client.esmtp_features["size"]) > 0
        assert client.sendmail("from@example.test", [recipient, other], MESSAGE, ["BODY=8BITMIME"]) == {}
    [mail] = received(stack, recipient)
    assert mail["mail_from"] == "from@example.test"
    assert mail["rcpt_tos"] == [recipient, other]
    assert mail["size"] == len(MESSAGE)
    assert {"id", "received_at", "peer"} <= set(mail)
    assert stack.mail(mail["id"]) == MESSAGE


def test_an_email_message_arrives(stack: Target) -> None:
    recipient = address()
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "from@example.test", recipient, "hello"
    message.set_content("Hello, world\n.\n")
    with smtplib.SMTP(stack.smtp.host, stack.smtp.port, timeout=30) as client:
        client.send_message(message)
    [mail] = received(stack, recipient)
    assert b"Hello, world\r\n.\r\n" in stack.mail(mail["id"])


def test_an_address_beyond_ascii_and_the_wishes_for_notifications_are_kept(stack: Target) -> None:
    recipient, plain = f"b\u00fcro-{address()}", address("plain")
    with smtplib.SMTP(stack.smtp.host, stack.smtp.port, timeout=30) as client:
        client.ehlo()
        assert client.has_extn("smtputf8")
        assert client.has_extn("dsn")
        client.command_encoding = "utf-8"
        assert client.mail("from@b\u00fccher.example", ["SMTPUTF8", "ENVID=Case+2B1"])[0] == 250
        assert client.rcpt(recipient, ["NOTIFY=success,DELAY", "ORCPT=utf-8;B\u00fcro@x"])[0] == 250
        assert client.rcpt(plain)[0] == 250
        assert client.data(MESSAGE)[0] == 250
    [mail] = received(stack, recipient)
    assert (mail["mail_from"], mail["rcpt_tos"]) == ("from@b\u00fccher.example", [recipient, plain])
    assert mail["mail_options"] == ["SMTPUTF8", "ENVID=Case+2B1"]
    assert mail["rcpt_options"] == ["NOTIFY=SUCCESS,DELAY ORCPT=utf-8;B\u00fcro@x"]


def test_the_chunk_behind_a_refused_bdat_is_passed_over_and_the_session_goes_on(stack: Target) -> None:
    chunk = b"QUIT\r\n.\r\nRSET\r\n"
    with RawClient(stack.smtp) as client:
        client.send(b"EHLO c\r\nBDAT %d LAST\r\n" % len(chunk))
        client.send(chunk + b"NOOP\r\nQUIT\r\n")
        assert codes(client.rest()) == [b"220", b"250", b"502", b"250", b"221"]


@pytest.mark.parametrize("name", CORPUS)
def test_a_cut_at_every_byte_gives_the_same_replies_and_the_same_stored_mail(stack: Target, name: str) -> None:
    recipient, content = address(), CORPUS[name]
    stream = dialogue(recipient, content)
    answered = list(itertools.accumulate(map(len, parts(recipient, content))))
    expected = expected_replies(stack, content)

    def cut(position: int) -> bytes:
        with RawClient(stack.smtp) as client:
            client.send(stream[:position])
            replies = b""
            if stream[position - 1 : position] == b"\n":  # RoadRunner hands over what ends a line: two events for sure
                replies = b"".join(client.reply() for _ in range(1 + sum(end <= position for end in answered)))
            client.send(stream[position:])
            return normalised(replies + client.rest())

    positions = range(1, len(stream))
    with ThreadPoolExecutor(4) as pool:
        for position, replies in zip(positions, pool.map(cut, positions), strict=True):
            assert replies == expected, f"cut at byte {position}"
    mails = received(stack, recipient)
    assert len(mails) == len(positions)
    assert {mail["sha256"] for mail in mails} == {hashlib.sha256(content).hexdigest()}
    assert {(mail["size"], tuple(mail["rcpt_tos"])) for mail in mails} == {(len(content), (recipient,))}
    assert stack.mail(mails[0]["id"]) == content
    assert stack.mail(mails[-1]["id"]) == content


@pytest.mark.parametrize("name", CORPUS)
def test_byte_by_byte_gives_the_same_replies_and_the_same_stored_mail(stack: Target, name: str) -> None:
    recipient, content = address(), CORPUS[name]
    stream = dialogue(recipient, content)
    with RawClient(stack.smtp) as client:
        client.send(*(stream[i : i + 1] for i in range(len(stream))))
        assert normalised(client.rest()) == expected_replies(stack, content)
    [mail] = received(stack, recipient)
    assert stack.mail(mail["id"]) == content


def test_a_second_mail_of_a_session_inherits_nothing(stack: Target) -> None:
    first, second = address("first"), address("second")
    with smtplib.SMTP(stack.smtp.host, stack.smtp.port, timeout=30) as client:
        client.sendmail("one@example.test", [first], MESSAGE)
        client.sendmail("two@example.test", [second], MESSAGE)
    [one], [two] = received(stack, first), received(stack, second)
    assert (one["mail_from"], one["rcpt_tos"]) == ("one@example.test", [first])
    assert (two["mail_from"], two["rcpt_tos"]) == ("two@example.test", [second])


def test_no_line_end_but_crlf_ends_a_message(stack: Target) -> None:
    """SMTP smuggling: whatever looks like an end of data to others must not make two mails out of one."""
    for fake_end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r", b"\r\n\x00.\r\n", b"\r\n.\x00\r\n"):
        recipient, smuggled = address(), address("smuggled")
        body = b"a" + fake_end + b"MAIL FROM:<x@example.test>\r\nRCPT TO:<%s>\r\nDATA\r\n" % smuggled.encode()
        with RawClient(stack.smtp) as client:
            client.send(b"EHLO c\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<%s>\r\nDATA\r\n" % recipient.encode())
            assert codes(b"".join(client.reply() for _ in range(5)))[-1] == b"354"
            client.send(body, b"\r\n.\r\nQUIT\r\n")
            refused, bye = codes(client.rest())
        assert refused[:1] == b"5", fake_end
        assert bye == b"221"
        assert received(stack, smuggled) == []
        assert received(stack, recipient) == []


def test_a_large_mail_is_kept_whole(stack: Target) -> None:
    recipient = address()
    content = b"Subject: large\r\n\r\n" + (b"0123456789abcdef" * 4 + b"\r\n") * 60_000  # about 4 MB
    with smtplib.SMTP(stack.smtp.host, stack.smtp.port, timeout=60) as client:
        client.sendmail("from@example.test", [recipient], content)
    [mail] = received(stack, recipient)
    assert mail["size"] == len(content)
    assert mail["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_mail_over_the_announced_size_is_refused_and_its_body_never_executed(stack: Target) -> None:
    recipient = address()
    with RawClient(stack.smtp) as client:
        client.reply()
        features = client.command(b"EHLO c").split()
        limit = int(features[features.index(b"250-SIZE") + 1])
        assert client.command(b"MAIL FROM:<a@example.test> SIZE=%d" % (limit + 1))[:3] == b"552"
        assert client.command(b"MAIL FROM:<a@example.test>")[:3] == b"250"
        assert client.command(b"RCPT TO:<%s>" % recipient.encode())[:3] == b"250"
        assert client.command(b"DATA")[:3] == b"354"
        line = b"QUIT" + b"x" * 60 + b"\r\n"
        client.send(line * (limit // len(line) + 1), b".\r\n")
        assert client.reply()[:3] == b"552"
        assert client.command(b"NOOP")[:3] == b"250"
    assert received(stack, recipient) == []


def test_a_client_that_leaves_in_mid_data_leaves_no_mail(stack: Target) -> None:
    recipient = address()
    with RawClient(stack.smtp) as client:
        client.send(dialogue(recipient, MESSAGE).removesuffix(b".\r\nQUIT\r\n"))
        assert codes(b"".join(client.reply() for _ in range(5)))[-1] == b"354"
    assert received(stack, recipient) == []


def test_200_connections_at_once_lose_no_mail(stack: Target) -> None:
    recipient = address()
    clients = [RawClient(stack.smtp) for _ in range(200)]
    try:
        for client in clients:
            assert client.reply()[:3] == b"220"
        for step in (b"EHLO c", b"MAIL FROM:<a@example.test>", b"RCPT TO:<%s>" % recipient.encode(), b"DATA"):
            for client in clients:
                client.send(step + b"\r\n")
            for client in clients:
                assert client.reply()[:1] in {b"2", b"3"}
        for number, client in enumerate(clients):
            client.send(b"number %d\r\n" % number, b".\r\n")
        for client in clients:
            assert client.reply()[:3] == b"250"
    finally:
        for client in clients:
            client.__exit__()
    mails = received(stack, recipient)
    expected = {hashlib.sha256(b"number %d\r\n" % number).hexdigest() for number in range(200)}
    assert len(mails) == 200
    assert {mail["sha256"] for mail in mails} == expected
