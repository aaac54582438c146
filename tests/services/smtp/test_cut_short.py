"""A session store that fails in the middle of an event: what was done before, in that event, is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from rr_tcp import SessionStoreError
from rr_tcp.connection import SPILL
from rr_tcp.testing import MemorySessionStore
from services.smtp import Limits
from tests.services.smtp.corpus import envelope
from tests.services.smtp.harness import SETTINGS, Service, codes

HELLO = b"EHLO client.test\r\n"


class _Willing:
    async def handle_DATA(self, *_: object) -> str:  # noqa: N802 - the name is aiosmtpd's
        return "250 OK"


WITH_AND_WITHOUT_HOOKS = pytest.mark.parametrize("handlers", [(), (_Willing(),)], ids=["without hooks", "with hooks"])


class _Failing(MemorySessionStore):
    """Saves, and reads texts, as long as it does not fail.

    Attributes:
        saves: after how many of them it fails; never when None.
        reads: whether texts can be read.
    """

    saves: int | None = None
    reads = True

    def save(self, key: str, state: bytes, **options: Any) -> None:
        if self.saves == 0:
            raise SessionStoreError("the store is gone")
        if self.saves is not None:
            self.saves -= 1
        super().save(key, state, **options)

    def iter_bulk(self, key: str) -> Iterator[bytes]:
        if not self.reads:
            raise SessionStoreError("the store is gone")
        return super().iter_bulk(key)


@WITH_AND_WITHOUT_HOOKS
@pytest.mark.parametrize("spilled_before", [0, 1])
def test_a_text_that_cannot_be_kept_costs_no_reply_to_a_mail_before_it_in_the_event(
    handlers: tuple[object, ...], spilled_before: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its 250 the client would send the first mail again, and it would be there twice."""
    sessions = _Failing()
    with Service(dataclasses.replace(SETTINGS, limits=Limits()), *handlers, sessions=sessions) as service:
        client = service.client()
        client.send(HELLO)
        sessions.saves = spilled_before
        large = b"a line of text\r\n" * (SPILL // 16) * (2 + spilled_before)
        replies = client.send(envelope() + b"text\r\n.\r\n" + envelope(2) + large)
        assert codes(replies) == [250, 250, 354, 250, 250, 250, 354, 421]
        assert client.closed
        assert [mail.content for mail in service.mails] == [b"text\r\n"]
    assert "the store is gone" in caplog.text


@WITH_AND_WITHOUT_HOOKS
def test_a_text_that_cannot_be_read_costs_its_own_mail_and_no_other(
    handlers: tuple[object, ...], caplog: pytest.LogCaptureFixture
) -> None:
    sessions = _Failing()
    with Service(SETTINGS, *handlers, sessions=sessions) as service:
        client = service.client()
        client.send(HELLO, envelope() + b"te")
        sessions.reads = False
        assert codes(client.send(b"xt\r\n.\r\nNOOP\r\n")) == [421]
        assert service.mails == []
        assert client.closed
    assert "the store is gone" in caplog.text
