"""A worker that dies between storing a mail and answering its client: the mail is there, and the client sends again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.e2e.clients import RawClient, dot_stuffed
from tests.e2e.targets import Address
from tests.faults.ledger import StoredMail, read_mails
from tests.faults.stacks import MAIL_STORES, running_stores
from tests.integration.conftest import ServeApp

TEXT = b"Subject: once\r\n\r\n.stored, not answered\r\n"
STORED = StoredMail("a@x.test", ("b@y.test",), hashlib.sha256(TEXT).hexdigest(), len(TEXT))


def send(address: Address) -> bytes:
    """Sends the mail; the reply to its end, empty when the connection ends without one."""
    with RawClient(address) as client:
        assert client.reply()[:3] == b"220"
        for command in (b"EHLO c", b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>"):
            assert client.command(command)[:3] == b"250"
        assert client.command(b"DATA")[:3] == b"354"
        client.send(dot_stuffed(TEXT))
        return client.reply()


@pytest.mark.parametrize("mails", MAIL_STORES)
def test_the_mail_is_stored_once_unanswered_and_the_retry_is_another_mail(
    mails: str, serve: ServeApp, tmp_path: Path
) -> None:
    with running_stores("lmdb", mails, tmp_path) as stores:
        env = {"SESSION_STORE": stores.sessions, "MAIL_STORE": stores.mails, "DIED": str(tmp_path / "died")}
        served = serve("tests.integration.dying:build_app", "smtp", env=env)
        address = Address("127.0.0.1", served.ports["smtp"])
        assert send(address) == b""
        assert list(read_mails(stores.mails)) == [STORED]
        assert send(address)[:3] == b"250"
        assert list(read_mails(stores.mails)) == [STORED, STORED]
