"""The relay to this service: what one receives of the other is what the client sent, parameters and all."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from services.smtp import open_mail_store
from tests.e2e.targets import native
from tests.services.smtp.forward.harness import TEXT, Mails
from tests.services.smtp.forward.smarthost import relay_to


@pytest.mark.parametrize("mails", ["sqlite", "maildir"])
def test_a_mail_arrives_with_all_its_parameters(mails: str, tmp_path: Path) -> None:
    url = f"{mails}:///{tmp_path}/arrived"
    long = b"Subject: long\r\n\r\n" + b"..dots\r\n.\r\n" * 200_000
    with (
        native(tmp_path, {"MAIL_STORE": url}) as stack,
        contextlib.closing(Mails(f"sqlite:///{tmp_path}/sent")) as sent,
    ):
        sent.add(
            "jürgen@bücher.test",
            '"odd, \\" \\@ one"@b.test',
            "postmaster",
            mail_from="chloé@a.test",
            mail_options=("SIZE=1", "BODY=8BITMIME", "SMTPUTF8", "RET=HDRS", "ENVID=a+2Bb"),
            rcpt_options=("NOTIFY=SUCCESS,FAILURE ORCPT=utf-8;jürgen@c.test", "", "NOTIFY=NEVER"),
            text="Subject: ä\r\n\r\nü\r\n".encode(),
        )
        sent.add(mail_from="", text=long)
        sent.add(*(f"to{number}@b.test" for number in range(150)))
        sent.consume(relay_to(stack.smtp.port), concurrency=1)
        assert sent.left == 0
    with contextlib.closing(open_mail_store(url)) as store:
        first, second, third, fourth = store.mails()
        texts = [b"".join(store.read(info.id)) for info in (first, second, third, fourth)]
    assert (first.mail_from, first.rcpt_tos) == (
        "chloé@a.test",
        ("jürgen@bücher.test", '"odd, \\" \\@ one"@b.test', "postmaster"),
    )
    assert first.mail_options == (
        f"SIZE={len(texts[0])}",
        "BODY=8BITMIME",
        "SMTPUTF8",
        "RET=HDRS",
        "ENVID=a+2Bb",
    )
    assert first.rcpt_options == ("NOTIFY=SUCCESS,FAILURE ORCPT=utf-8;jürgen@c.test", "", "NOTIFY=NEVER")
    assert texts[0].endswith("+0000\r\nSubject: ä\r\n\r\nü\r\n".encode())
    assert second.mail_from == ""
    assert texts[1].partition(b"Subject:")[2] == long.removeprefix(b"Subject:")
    assert (len(third.rcpt_tos), len(fourth.rcpt_tos)) == (100, 50), "as LIMITS says"
    assert texts[2] == texts[3]
    assert texts[2].endswith(TEXT)
