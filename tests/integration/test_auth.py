"""AUTH on the real server: two listeners, two workers, and clients that log in.

The tests are the proxy of the second listener, and tell each client's address as one; test_edge.py has a real one.
"""

from __future__ import annotations

import smtplib
import socket
from base64 import b64encode
from contextlib import closing
from pathlib import Path

import pytest

from rr_tcp.plugins.resetter import Resetter
from rr_tcp.rpc import RPC
from rr_tcp.testing import ServedApp
from services.smtp.users import hash_password
from services.smtp.users_file import delete_user, set_user
from tests.e2e.clients import RawClient
from tests.e2e.targets import Address
from tests.integration.conftest import TIMEOUT, ServeApp
from tests.support.waiting import wait_until

PASSWORD = "open sesame"
NAME, SECRET = b64encode(b"alice"), b64encode(PASSWORD.encode())
HEADER = b"PROXY TCP4 192.0.2.1 127.0.0.1 50000 465\r\n"
MESSAGE = b64encode(f"\0alice\0{PASSWORD}".encode())


@pytest.fixture
def users(tmp_path: Path) -> Path:
    set_user(tmp_path / "users", "alice", hash_password(PASSWORD))
    return tmp_path / "users"


@pytest.fixture
def served(serve: ServeApp, tmp_path: Path, users: Path) -> ServedApp:
    env = {
        "SESSION_STORE": "rrkv://sessions",
        "MAIL_STORE": f"sqlite:///{tmp_path}/mail.db",
        "SMTP_USERS": str(users),
        "SMTP_AUTH_LISTENERS": "smtps",
        "EDGE_NETWORKS": "127.0.0.1",
        "SMTP_AUTH_REQUIRED": "1",
        "LOG_LEVEL": "DEBUG",
    }
    return serve("workers.smtp:build_app", "smtp", "smtps", env=env)


class ProxiedSMTP(smtplib.SMTP):
    """smtplib, as it reaches the server through a proxy."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = socket.create_connection((host, port), timeout)
        sock.sendall(HEADER)
        return sock


def mail_program(served: ServedApp, server: str = "smtps") -> smtplib.SMTP:
    program = ProxiedSMTP if server == "smtps" else smtplib.SMTP
    return program("127.0.0.1", served.ports[server], timeout=TIMEOUT)


def raw_client(served: ServedApp) -> RawClient:
    """One that has sent EHLO."""
    raw = RawClient(Address("127.0.0.1", served.ports["smtps"]))
    raw.send(HEADER)
    assert raw.reply()[:3] == b"220"
    assert b"250-AUTH LOGIN PLAIN\r\n" in raw.command(b"EHLO c")
    return raw


def replace_workers(served: ServedApp) -> None:
    before = served.pids()
    with closing(RPC(served.rpc_address, timeout=2 * TIMEOUT)) as rpc:
        Resetter(rpc).reset("tcp")
    wait_until(lambda: len(served.pids()) == 2 and not served.pids() & before, "new workers")


@pytest.mark.parametrize("mechanism", ["plain", "login"])
@pytest.mark.parametrize("initial_response", [True, False], ids=["with the command", "after the command"])
def test_a_mail_program_logs_in_and_sends(served: ServedApp, mechanism: str, initial_response: bool) -> None:
    for _ in range(4):  # so that each worker has its turn
        with mail_program(served) as smtp:
            smtp.ehlo()
            smtp.user, smtp.password = "alice", PASSWORD
            answer = getattr(smtp, f"auth_{mechanism}")
            assert smtp.auth(mechanism.upper(), answer, initial_response_ok=initial_response)[0] == 235
            assert smtp.sendmail("a@x.test", ["b@y.test"], "Subject: hello\r\n\r\nHello\r\n") == {}


def test_no_challenge_needs_the_worker_that_sent_it(served: ServedApp) -> None:
    with raw_client(served) as raw:
        assert raw.command(b"AUTH LOGIN") == b"334 VXNlcm5hbWU6\r\n"
        replace_workers(served)
        assert raw.command(NAME) == b"334 UGFzc3dvcmQ6\r\n"
        replace_workers(served)
        assert raw.command(SECRET)[:3] == b"235"
        replace_workers(served)
        assert raw.command(b"MAIL FROM:<a@x.test>")[:3] == b"250"
        assert raw.command(b"RSET")[:3] == b"250"
        assert raw.command(b"AUTH LOGIN")[:3] == b"503"


def test_strangers_are_refused_and_nothing_that_was_said_is_in_the_log(served: ServedApp) -> None:
    with mail_program(served) as smtp, pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        smtp.login("alice", "the guess")
    assert refused.value.smtp_code in {421, 535}
    with mail_program(served) as smtp, pytest.raises(smtplib.SMTPSenderRefused) as unknown:
        smtp.sendmail("a@x.test", ["b@y.test"], "x")
    assert unknown.value.smtp_code == 530
    with mail_program(served, "smtp") as smtp:
        smtp.ehlo()
        assert not smtp.has_extn("auth")
        assert smtp.docmd("AUTH", f"PLAIN {MESSAGE.decode()}")[0] == 538
    with raw_client(served) as raw:
        assert raw.command(b"AUTH PLAIN %s" % MESSAGE)[:3] == b"235"
    log = served.log.read_text()
    assert "no authentication by PLAIN" in log
    assert "'alice' authenticated by PLAIN" in log
    guess = b64encode(b"\0alice\0the guess").decode()
    for secret in (PASSWORD, MESSAGE.decode(), SECRET.decode(), "the guess", guess):
        assert secret not in log


def test_users_come_and_go_while_the_server_runs(served: ServedApp, users: Path) -> None:
    def code() -> bytes:
        with raw_client(served) as raw:
            return raw.command(b"AUTH PLAIN %s" % MESSAGE)[:3]

    assert code() == b"235"
    delete_user(users, "alice")
    assert {code() for _ in range(4)} == {b"535"}
    users.write_text("alice:open sesame\n")
    assert {code() for _ in range(4)} == {b"454"}
    users.write_text("")
    set_user(users, "alice", hash_password(PASSWORD))
    assert {code() for _ in range(4)} == {b"235"}
