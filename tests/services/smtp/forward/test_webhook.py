"""Mails from a store to a real HTTP server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import ssl
from collections.abc import Iterator

import httpx
import pytest

from rr_tcp import ConfigurationError
from services.smtp.forward.schedule import Schedule
from services.smtp.forward.signature import Signature, parse_secret
from services.smtp.forward.webhook import ANSWER, Webhook, retry_after
from tests.services.smtp.forward.harness import TEXT, Mails
from tests.services.smtp.forward.receiver import KEY, SECRET, Answer, Receiver, running_receiver

NOW = 1_800_000_000.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


def hook(receiver: Receiver, *, timeout: float = 20.0) -> Webhook:
    client = httpx.AsyncClient(timeout=timeout, trust_env=False, verify=ssl.create_default_context())
    return Webhook(receiver.url, key=KEY, hostname="mx.test", timeout=timeout, client=client, clock=lambda: NOW)


def expected_signature(headers: dict[str, str], body: bytes) -> str:
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()


def test_a_call_has_all_that_is_known_of_a_mail(mails: Mails, receiver: Receiver) -> None:
    mail_id = mails.add("one@b.test", "zwölf@b.test", mail_options=("SMTPUTF8",), rcpt_options=("NOTIFY=NEVER",))
    mails.consume(hook(receiver))
    [call] = receiver.calls
    assert call.path == "/hooks/token?a=b"
    assert call.headers["content-type"] == "application/json"
    assert json.loads(call.body) == {
        "type": "mail.received",
        "timestamp": "2026-01-02T03:04:05.000000Z",
        "data": {
            "id": mail_id,
            "mail_from": "from@a.test",
            "rcpt_tos": ["one@b.test", "zwölf@b.test"],
            "size": len(TEXT),
            "received_at": "2026-01-02T03:04:05.000000Z",
            "peer": "192.0.2.1:1234",
            "sha256": hashlib.sha256(TEXT).hexdigest(),
            "helo": "client.test",
            "protocol": "ESMTP",
            "mail_options": ["SMTPUTF8"],
            "rcpt_options": ["NOTIFY=NEVER"],
            "trace": "Return-Path: <from@a.test>\r\nReceived: from client.test ([192.0.2.1])\r\n\tby mx.test with "
            f"ESMTP id {mail_id};\r\n\tFri, 02 Jan 2026 03:04:05 +0000\r\n",
            "message": base64.b64encode(TEXT).decode(),
        },
    }
    assert mails.left == 0


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 1_000_003])
def test_the_text_of_any_length_comes_whole_and_signed(mails: Mails, receiver: Receiver, size: int) -> None:
    """Base64 has three bytes in a group, the store 256 KiB in a piece: neither falls on the other's ends."""
    text = os.urandom(size)
    mail_id = mails.add(text=text)
    mails.consume(hook(receiver))
    [call] = receiver.calls
    assert base64.b64decode(call.data["message"], validate=True) == text
    headers = dict(call.headers)
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (mail_id, "1800000000")
    assert headers["webhook-signature"] == expected_signature(headers, call.body)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's own libraries."""
    key = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = Signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330)
    signature.update(b'{"test": ')
    signature.update(b"2432232314}")
    assert str(signature) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 599, 302])
def test_a_call_is_repeated_under_the_same_id_until_it_is_taken(mails: Mails, receiver: Receiver, status: int) -> None:
    mails.add()
    receiver.answers = [Answer(status), Answer(status)]
    mails.consume(hook(receiver))
    first, second, third = receiver.calls
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == third.headers["webhook-id"]
    assert first.body == third.body
    assert mails.left == 0


def test_a_connection_that_ends_without_an_answer_is_a_retry(mails: Mails, receiver: Receiver) -> None:
    mails.add()
    receiver.answers = [Answer(0)]
    mails.consume(hook(receiver))
    assert len(receiver.calls) == 2
    assert mails.left == 0


@pytest.mark.parametrize("status", [400, 401, 404, 410, 413, 422])
def test_a_call_that_is_refused_is_not_repeated(
    mails: Mails, receiver: Receiver, status: int, info: pytest.LogCaptureFixture
) -> None:
    mail_id = mails.add()
    receiver.answers = [Answer(status)]
    mails.consume(hook(receiver))
    assert len(receiver.calls) == 1
    assert mails.left == 0
    [record] = [record for record in info.records if record.levelname == "WARNING"]
    assert record.getMessage().startswith(f"mail {mail_id} for 127.0.0.1:{receiver.port}, try 1: failed {status} ")


def test_a_receiver_may_ask_for_time(mails: Mails, receiver: Receiver) -> None:
    mails.add()
    receiver.answers = [Answer(503, {"retry-after": "600"})]
    mails.consume(hook(receiver))
    assert len(receiver.calls) == 1
    assert mails.left == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", 0),
        ("120", 120),
        ("99999999999999999999", 86400),
        ("-5", 0),
        ("soon", 0),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("Fri, 15 Jan 2027 07:01:00 GMT", 0),
        ("Fri, 15 Jan 2037 07:01:00 GMT", 86400),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float) -> None:
    assert retry_after(value, NOW) == seconds


def test_a_receiver_that_is_not_there_costs_a_try_and_no_mail(mails: Mails, info: pytest.LogCaptureFixture) -> None:
    with running_receiver() as gone:
        pass
    mails.add()
    mails.consume(hook(gone), schedule=Schedule(first=600))
    assert mails.left == 1
    assert "ConnectError" in info.text


def test_an_answer_in_the_middle_of_a_call_counts(mails: Mails, receiver: Receiver) -> None:
    """And a receiver whose answers never end is not listened to for ever."""
    mails.add()
    mails.add()
    receiver.answers = [Answer(200, body=b"x" * (ANSWER + 100_000)), Answer(200, body=b"x" * ANSWER)]
    mails.consume(hook(receiver), concurrency=1)
    assert len(receiver.calls) == 2
    assert mails.left == 0


@pytest.mark.parametrize("length", ["1000", "nonsense"])
def test_a_mail_that_was_taken_is_not_posted_again_for_want_of_the_answers_body(
    mails: Mails, receiver: Receiver, length: str
) -> None:
    """The status is there, the body breaks off."""
    mails.add()
    receiver.answers = [Answer(200, {"transfer-encoding": "chunked"}, body=f"{length}\r\n".encode())]
    mails.consume(hook(receiver, timeout=2))
    assert (len(receiver.calls), mails.left) == (1, 0)


def test_calls_share_a_connection(mails: Mails, receiver: Receiver) -> None:
    for _ in range(5):
        mails.add()
    receiver.answers = [Answer(200), Answer(400), Answer(200), Answer(422)]
    mails.consume(hook(receiver), concurrency=1)
    assert len(receiver.calls) == 5
    assert receiver.connections == 1


def test_neither_the_url_nor_a_text_is_logged(
    mails: Mails, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "services")
    mails.add(text=b"confidential\r\n")
    receiver.answers = [Answer(500), Answer(400)]
    mails.consume(hook(receiver))
    assert str(receiver.port) in caplog.text
    assert "token" not in caplog.text
    assert "confidential" not in caplog.text


@pytest.mark.parametrize(
    "text", ["", "password", "whsec_", "whsec_c2hvcnQ=", SECRET.removeprefix("whsec_"), "whsec_ä", SECRET + SECRET]
)
def test_what_is_no_secret_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigurationError, match="base64: make one with") as error:
        parse_secret(text)
    assert text in {"", "whsec_"} or text not in str(error.value)


def test_a_secret_may_end_in_a_line_feed() -> None:
    assert parse_secret(f"{SECRET}\n") == KEY
