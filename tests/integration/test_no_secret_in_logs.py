"""No password, no secret of ours and nothing of a mail's text is in any log, at the level DEBUG and when things fail.

The stack runs as it is delivered, RoadRunner and workers at DEBUG, through all that a session can be: right and wrong
passwords, mails that are stored, refused, broken off and failed by a handler that quotes them, a Redis that ends. Then
the relay and the webhook, which fail as well.
"""

from __future__ import annotations

import base64
import contextlib
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from rr_tcp.probe import probe_line, probe_smtp
from rr_tcp.testing import find_server, free_ports, roadrunner
from services.smtp import open_mail_store
from services.smtp.users import hash_password
from services.smtp.users_file import set_user
from tests.e2e.clients import RawClient
from tests.e2e.targets import Address
from tests.integration.conftest import ROOT
from tests.integration.consumers import consumer
from tests.services.smtp.forward.harness import envelope
from tests.services.smtp.forward.receiver import Answer, running_receiver
from tests.services.smtp.forward.smarthost import check_password, running_sink
from tests.support.canaries import canary, leaks
from tests.support.servers import RedisServer, running_redis
from tests.support.waiting import wait_until

OtherSide = Callable[[Mapping[str, str], Path], contextlib.AbstractContextManager[dict[str, str]]]

OTHER_PORTS = ("RPC_PORT", "METRICS_PORT", "SMTPS_PORT", "ECHOS_PORT")

NAMES = ["password", "guess", "command", "body", "redis", "echo"]


@dataclass(frozen=True)
class Stack:
    """A running stack.

    Attributes:
        words: what must not be said, by what it is.
        smtp: where the mail service listens.
        echo: where the JSON echo does.
        env: its settings.
        redis: where sessions and mails rest; its password is one of the words.
        log: what RoadRunner and the workers say.
    """

    words: Mapping[str, str]
    smtp: Address
    echo: Address
    env: Mapping[str, str]
    redis: RedisServer
    log: Path

    def client(self) -> RawClient:
        """One that was greeted and has sent EHLO."""
        client = RawClient(self.smtp)
        assert client.reply()[:3] == b"220"
        assert client.command(b"EHLO client.test")[:3] == b"250"
        return client

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@pytest.fixture(params=["users file", "authenticator"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    words = {name: canary(name) for name in NAMES}
    smtp, echo, *others = free_ports(2 + len(OTHER_PORTS))
    env = {
        "SMTP_PORT": str(smtp),
        "ECHO_PORT": str(echo),
        **dict(zip(OTHER_PORTS, map(str, others), strict=True)),
        "PYTHON": sys.executable,
        "LOG_LEVEL": "DEBUG",
        "SMTP_AUTH_LISTENERS": "smtp",
        "SMTP_HANDLER": "tests.integration.leaky.Quoting",
        "SMTP_MAX_SIZE": "5000",
    }
    if request.param == "users file":
        set_user(tmp_path / "users", "alice", hash_password(words["password"]))
        env["SMTP_USERS"] = str(tmp_path / "users")
    else:
        env["SMTP_AUTHENTICATOR"] = "tests.integration.leaky.authenticator"
    with running_redis(tmp_path, "--requirepass", words["redis"]) as redis:
        url = f"redis://:{words['redis'].replace('/', '%2F')}@127.0.0.1:{redis.port}"
        env |= {"SESSION_STORE": f"{url}/0", "MAIL_STORE": f"{url}/1"}
        addresses = Address("127.0.0.1", smtp), Address("127.0.0.1", echo)
        with roadrunner(
            find_server(),
            ROOT / ".rr.yaml",
            cwd=ROOT,
            env=env,
            log=tmp_path / "stack.log",
            probes=[lambda: probe_smtp("127.0.0.1", smtp), lambda: probe_line("127.0.0.1", echo)],
            overrides=["logs.level=debug"],
        ):
            yield Stack(words, *addresses, env, redis, tmp_path / "stack.log")


def b64(text: str) -> bytes:
    return base64.b64encode(text.encode())


def log_in_and_fail_to(stack: Stack) -> None:
    """Every way in which a password can be sent, right, wrong, and where none belongs."""
    password, guess = stack.words["password"], stack.words["guess"]
    for login in (b"AUTH PLAIN " + b64(f"\0alice\0{password}"), b"AUTH LOGIN " + b64("alice")):
        with stack.client() as client:
            answer = client.command(login)
            assert (client.command(b64(password)) if answer[:3] == b"334" else answer)[:3] == b"235"
    with stack.client() as client:
        assert client.command(b"AUTH PLAIN " + b64(f"\0mallory\0{guess}"))[:1] in b"45"
        assert client.command(b"AUTH LOGIN")[:3] == b"334"
        assert client.command(b64("mallory"))[:3] == b"334"
        assert client.command(b64(guess))[:1] in b"45"
    with stack.client() as client:
        client.command(b"AUTH PLAIN " + b64(guess) + b"=not base64")
        client.command(b"AUTH NTLM " + b64(guess))
        client.command(b"AUTH LOGIN")
        client.send(b64(guess)[:10])  # and hangs up in mid-exchange
    with stack.client() as client:  # what somebody types who takes the command for a prompt
        assert client.command(stack.words["command"].encode())[:1] == b"5"
        assert client.command(b"AUTH " + stack.words["command"].encode())[:1] == b"5"
        assert client.command(b"NOOP " + stack.words["command"].encode())[:3] == b"250"
        client.send(b"\x16\x03\x01" + stack.words["command"].encode() + b"\r\n")
        client.reply()


def send(stack: Stack, *text: bytes) -> bytes:
    """The reply to a mail with this text, in pieces."""
    with stack.client() as client:
        for command in (b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>"):
            assert client.command(command)[:3] == b"250"
        assert client.command(b"DATA")[:3] == b"354"
        client.send(*text, b"\r\n.\r\n")
        return client.reply()


def mails_of_every_fate(stack: Stack) -> None:
    body = stack.words["body"].encode()
    subject = b"Subject: %s\r\n\r\n%s\r\n%s" % (body, body, b64(stack.words["body"]))
    assert send(stack, subject)[:3] == b"250"
    assert send(stack, b"X-Fail: yes\r\n" + subject)[:3] == b"451"
    assert send(stack, subject + b"\nbare")[:1] == b"5"
    assert send(stack, subject + b"\r\n" + body * 100)[:1] == b"5"  # a line over 1000 bytes
    assert send(stack, subject, *[b"\r\n" + body] * 200)[:3] == b"552"
    with stack.client() as client:  # broken off in mid-text
        client.command(b"MAIL FROM:<a@x.test>")
        client.command(b"RCPT TO:<b@y.test>")
        client.command(b"DATA")
        client.send(subject + b"\r\n")
    with RawClient(stack.echo) as client:
        client.send(stack.words["echo"].encode() + b"\n")
        assert client.line()
        client.send(stack.words["echo"].encode() * 3000 + b"\n")
        client.rest()


def lose_a_worker_and_the_store(stack: Stack) -> None:
    """Errors name what failed."""
    with stack.client() as client:
        client.command(b"MAIL FROM:<a@x.test>")
        client.command(b"RCPT TO:<b@y.test>")
        client.command(b"DATA")
        stack.redis.stop()
        client.send(stack.words["body"].encode() + b"\r\n.\r\n")
        assert client.rest()[:3] == b"421"


def test_the_stack_says_nothing_of_passwords_and_texts(stack: Stack) -> None:
    log_in_and_fail_to(stack)
    mails_of_every_fate(stack)
    lose_a_worker_and_the_store(stack)
    wait_until(lambda: "ends (421)" in stack.said() or "failed" in stack.said(), "the error of the store in the log")
    said = stack.said()
    for expected in ("authenticated by PLAIN", "no authentication by", "handle_DATA failed", "RuntimeError", "DEBUG"):
        assert expected in said
    assert leaks(stack.words, [("the stack's log", said.encode())]) == []


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    crt, key = directory / "sink.crt", directory / "sink.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    command += ["-days", "1", "-subj", "/CN=sink", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", crt], check=True, capture_output=True)
    return crt, key


@contextlib.contextmanager
def failing_smarthost(words: Mapping[str, str], directory: Path) -> Iterator[dict[str, str]]:
    """One that takes no password; gives the settings of a relay to it."""
    crt, key = certificate(directory)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(crt, key)
    auth = {"authenticator": check_password(b""), "auth_required": True, "auth_require_tls": False}
    (directory / "relay").write_text(words["relay"])
    with running_sink(ssl_context=context, **auth) as sink:
        yield {
            "RELAY_URL": f"smtps://user@127.0.0.1:{sink.port}",
            "RELAY_PASSWORD_FILE": str(directory / "relay"),
            "SSL_CERT_FILE": str(crt),
        }


@contextlib.contextmanager
def failing_application(words: Mapping[str, str], directory: Path) -> Iterator[dict[str, str]]:
    """One that fails and tells all; gives the settings of a webhook to it, whose URL has a token in it."""
    secret = "whsec_" + base64.b64encode(words["webhook"].encode()).decode()
    (directory / "webhook").write_text(secret)
    with running_receiver() as receiver:
        receiver.answers = [Answer(500, body=words["body"].encode())] * 1000
        token = words["token"].replace("/", "%2F")
        yield {
            "WEBHOOK_URL": f"http://127.0.0.1:{receiver.port}/{token}?token={token}",
            "WEBHOOK_SECRET_FILE": str(directory / "webhook"),
        }


@pytest.mark.filterwarnings(
    "ignore:Requiring AUTH while not requiring TLS"
)  # aiosmtpd knows no other TLS than STARTTLS
@pytest.mark.parametrize(
    ("command", "other_side"),
    [("relay", failing_smarthost), ("webhook", failing_application)],
    ids=["relay", "webhook"],
)
def test_what_hands_mails_on_says_nothing_of_secrets_and_texts(
    command: str, other_side: OtherSide, tmp_path: Path
) -> None:
    words = {name: canary(name) for name in ("redis", "body", "relay", "webhook", "token")}
    log = tmp_path / "consumer.log"
    with running_redis(tmp_path, "--requirepass", words["redis"]) as redis, other_side(words, tmp_path) as settings:
        store = f"redis://:{words['redis'].replace('/', '%2F')}@127.0.0.1:{redis.port}/0"
        env = {"MAIL_STORE": store, "LOG_LEVEL": "DEBUG", "DELIVERY_RETRY_FIRST": "1", **settings}
        with contextlib.closing(open_mail_store(store)) as mails, consumer([command, "--all"], env, log) as process:
            mails.open()
            body = words["body"].encode()
            mails.add(envelope(), [b"Subject: %s\r\n\r\n%s\r\n" % (body, body)])
            wait_until(lambda: "is tried again" in str(process), "a failed attempt in the log")
            redis.stop()
            wait_until(lambda: "the mail store fails" in str(process), "the failed store in the log")
            assert process.end(signal.SIGTERM) == 0
    assert "DEBUG" in log.read_text()
    assert leaks(words, [("the log", log.read_bytes())]) == []
