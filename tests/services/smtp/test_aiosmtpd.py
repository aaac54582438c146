"""What aiosmtpd's documentation says of `server`, Session, Envelope and hooks, where no other test looks at it.

Most of it is compared with aiosmtpd itself, in `tests/differential`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiosmtpd.smtp import MISSING, Envelope, Session

from tests.services.smtp.corpus import envelope, session
from tests.services.smtp.harness import SETTINGS, Service, codes
from tests.services.smtp.test_hooks import HELLO, served

# ruff: noqa: ARG002, N802, N815 - the signatures and names are aiosmtpd's


class Fresh:
    """Looks at a new Session and Envelope."""

    async def handle_NOOP(self, server: Any, session: Session, envelope: Envelope, arg: str | None) -> str:
        made = Session(session.loop)
        assert {**vars(session), "peer": None} == vars(made)
        assert vars(envelope) == vars(Envelope())
        return "250 as new"


def test_a_session_and_an_envelope_begin_as_aiosmtpds_do() -> None:
    assert served(Fresh, b"NOOP\r\n")[0] == [b"250 2.0.0 as new"]


class Asking:
    """Looks at its server."""

    async def handle_NOOP(self, server: Any, session: Session, envelope: Envelope, arg: str | None) -> str:
        assert server.session is session
        assert server.envelope is envelope
        assert server.event_handler is self
        assert server.loop is session.loop is asyncio.get_running_loop()
        seen = server.hostname, server.data_size_limit, server.enable_SMTPUTF8
        return f"250 {seen} {server.tls_context} {server.require_starttls} {server.transport}"


def test_server_has_what_handlers_read() -> None:
    assert served(Asking, b"NOOP\r\n")[0] == [b"250 2.0.0 ('mx.test', 2000, True) None False None"]


class Leaving:
    """Leaves every command to the server."""

    async def _leave(self, *_: object) -> object:
        return MISSING

    handle_HELO = handle_MAIL = handle_RCPT = handle_DATA = _leave
    handle_RSET = handle_NOOP = handle_VRFY = handle_QUIT = _leave

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, name: str, responses: list[str]) -> object:
        return MISSING


COMMANDS = (
    b"HELO c\r\nEHLO c\r\nNOOP\r\nVRFY a@b\r\nRSET\r\nMAIL FROM:<a@b> SIZE=9\r\nRCPT TO:<c@d> NOTIFY=NEVER\r\n"
    b"RCPT TO:<e@f>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n"
)


def test_a_hook_that_returns_missing_leaves_its_command_to_the_server() -> None:
    pieces = COMMANDS.splitlines(keepends=True)
    with Service(SETTINGS, Leaving(), Leaving()) as hooked, Service() as plain:
        answers = [service.client().send(*pieces) for service in (hooked, plain)]
        assert codes(answers[0]) == codes(answers[1])
        assert [line[:9] for line in answers[0].splitlines()] == [line[:9] for line in answers[1].splitlines()]
        [mail], [other] = hooked.mails, plain.mails
    for name in ("mail_from", "rcpt_tos", "mail_options", "rcpt_options", "helo", "sha256"):
        assert getattr(mail.info, name) == getattr(other.info, name)


class Options:
    """Notes the parameters that it is asked about, on the envelope."""

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        assert (envelope.mail_from, envelope.mail_options, envelope.smtp_utf8) == (None, [], "SMTPUTF8" in options)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return f"250 {options}"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return f"250 {envelope.rcpt_options}"


def test_parameters_reach_the_hooks_and_go_with_the_mail() -> None:
    lines, service = served(
        Options,
        HELLO,
        b"MAIL FROM:<a@b> SIZE=4 SMTPUTF8 ENVID=Qq\r\n",
        b"RCPT TO:<c@d> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;C@d\r\n",
        b"RCPT TO:<e@f>\r\nDATA\r\nhi\r\n.\r\n",
    )
    assert [line[10:] for line in lines if line.startswith(b"250 2.0.0 [")] == [
        b"['SIZE=4', 'SMTPUTF8', 'ENVID=Qq']",
        b"['NOTIFY=SUCCESS,FAILURE', 'ORCPT=rfc822;C@d']",
        b"['NOTIFY=SUCCESS,FAILURE', 'ORCPT=rfc822;C@d']",
    ]
    [mail] = service.mails
    assert mail.info.mail_options == ("SIZE=4", "SMTPUTF8", "ENVID=Qq")
    assert mail.info.rcpt_options == ("NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;C@d",)


class Null:
    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        envelope.mail_from = address
        return f"250 {address!r}"


def test_the_null_sender_is_the_empty_string() -> None:
    """In aiosmtpd it is `"<>"`, which is no address."""
    lines, _ = served(Null, HELLO, b"MAIL FROM:<>\r\n")
    assert lines[-1] == b"250 2.0.0 ''"


class Closing:
    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        return "421 4.3.2 going down"


def test_a_421_of_a_hook_ends_the_connection() -> None:
    with Service(SETTINGS, Closing()) as service:
        client = service.client()
        assert client.send(b"NOOP\r\nNOOP\r\n") == b"421 4.3.2 going down\r\n"
        assert client.closed


class OldMessage:
    """The form that handlers had before aiosmtpd 1.0, after the standard library's smtpd."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def process_message(self, peer: object, mail_from: str, rcpt_tos: list[str], data: bytes) -> str | None:
        self.seen += [peer, mail_from, rcpt_tos, data]
        return "554 no" if b"no" in data else None


class OldAsyncMessage(OldMessage):
    async def process_message(  # type: ignore[override]  # aiosmtpd takes both
        self, peer: object, mail_from: str, rcpt_tos: list[str], data: bytes
    ) -> str | None:
        return super().process_message(peer, mail_from, rcpt_tos, data)


@pytest.mark.parametrize("handler_class", [OldMessage, OldAsyncMessage])
def test_process_message_stands_for_handle_data(handler_class: type[OldMessage]) -> None:
    handler = handler_class()
    with Service(SETTINGS, handler) as service:
        assert codes(service.client().send(session(b"hi\r\n"))) == [250, 250, 250, 354, 250, 221]
        assert handler.seen == [("192.0.2.1", 1234), "from1@a.test", ["to1@b.test"], b"hi\r\n"]
        assert codes(service.client().send(HELLO + envelope() + b"no\r\n.\r\n"))[-1] == 554
        assert [mail.content for mail in service.mails] == [b"hi\r\n"]


def test_the_greeting_tells_the_host_and_no_software() -> None:
    """Unlike aiosmtpd's, which tells its name and version to everybody."""
    with Service() as service:
        assert service.client().output == b"220 mx.test ESMTP ready\r\n"
