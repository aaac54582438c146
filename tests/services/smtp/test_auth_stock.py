"""AUTH against a stock aiosmtpd with the same authenticator: the same codes, but for differences on purpose."""

from __future__ import annotations

import asyncio
import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.differential.stock import StockServer
from tests.services.smtp.harness import SETTINGS, Service, codes
from tests.services.smtp.test_auth import DIALOGUES, HELLO, MAIL, PLAIN

# ruff: noqa: ARG001 - the signature is aiosmtpd's

DIFFERENT: Final[Mapping[str, tuple[list[int], list[int]]]] = {
    "no case in names": ([235], [504]),  # RFC 4422 has names in capitals, and RFC 5321 2.4 keywords without case
    "acts as somebody else": (
        [535],
        [235],
    ),  # aiosmtpd does not look at the authorization identity (RFC 4616 section 2)
    "no UTF-8": ([501], [535]),  # RFC 4616 section 2
    "an empty name and password": (
        [334, 535],
        [501, 500],
    ),  # "=" is no base64 to aiosmtpd, so the next line is a command
    "right, but for a space": (
        [334, 501],
        [334, 235],
    ),  # aiosmtpd strips a response; RFC 4954 section 4 has base64 alone
}
"""By dialogue, our codes and theirs."""

MISPLACED: Final[Mapping[str, tuple[list[bytes], list[int], list[int]]]] = {
    "before EHLO": ([PLAIN], [503], [503]),
    "after HELO": ([b"HELO c\r\n", PLAIN], [250, 503], [250, 500]),  # 503 is the code for a bad sequence
    "while a mail is under way": ([HELLO, MAIL, PLAIN], [250, 250, 503], [250, 250, 235]),  # RFC 4954 section 4
    "after success": ([HELLO, PLAIN, PLAIN], [250, 235, 503], [250, 235, 503]),
    "required": (
        [HELLO, MAIL, b"RCPT TO:<c@d>\r\n", b"DATA\r\n", b"VRFY a\r\n"],
        [250, 530, 530, 530, 530],
        [250, 530, 530, 530, 530],
    ),
}


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, auth_data: LoginPassword) -> AuthResult:
    return AuthResult(success=auth_data == (b"alice", b"open sesame"), handled=False, auth_data=auth_data)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def theirs(loop: asyncio.AbstractEventLoop, *pieces: bytes, required: bool = False) -> list[int]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of authentication without TLS, and of the deprecated `login_data`
        server = StockServer(
            loop, Sink(), authenticator=authenticate, auth_require_tls=False, auth_required=required, timeout=600
        )
        replies = b"".join(server.feed(line) for piece in pieces for line in piece.splitlines(keepends=True))
        server.close()
    return codes(replies)


def ours(*pieces: bytes, required: bool = False) -> list[int]:
    settings = dataclasses.replace(
        SETTINGS, auth_listeners=("smtps",), authenticator=f"{__name__}.authenticate", auth_required=required
    )
    with Service(settings) as service:
        return codes(service.client("smtps").send(*pieces))


@pytest.mark.parametrize("name", [name for name in DIALOGUES if "limit" not in name and "a bare CR" not in name])
def test_an_exchange_gets_the_codes_that_aiosmtpd_gives(name: str, loop: asyncio.AbstractEventLoop) -> None:
    dialogue, _ = DIALOGUES[name]
    us, them = ours(HELLO, dialogue)[1:], theirs(loop, HELLO, dialogue)[1:]
    if name in DIFFERENT:
        assert (us, them) == DIFFERENT[name]
    else:
        assert us == them


@pytest.mark.parametrize("name", MISPLACED)
def test_where_auth_stands_matters_as_the_rfc_has_it(name: str, loop: asyncio.AbstractEventLoop) -> None:
    pieces, us, them = MISPLACED[name]
    assert ours(*pieces, required=name == "required") == us
    assert theirs(loop, *pieces, required=name == "required") == them
