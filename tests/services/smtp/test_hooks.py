"""aiosmtpd's hooks, on sessions of which every event is handled by another worker, with another handler object."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any

import pytest
from aiosmtpd.smtp import Envelope, Session

from services.smtp import Limits
from tests.services.smtp.corpus import dot_stuffed, envelope, session
from tests.services.smtp.harness import SETTINGS, Service, codes

# ruff: noqa: ARG002, N802 - the signatures and names are aiosmtpd's

HELLO = b"EHLO c\r\n"


def served(handler_class: type, *pieces: bytes) -> tuple[list[bytes], Service]:
    """The reply lines to the pieces, each handled by another worker."""
    with Service(SETTINGS, handler_class(), handler_class()) as service:
        return service.client().send(*pieces).splitlines(), service


class Relay:
    """The example of aiosmtpd's documentation: its handlers decide on recipients and read the mail."""

    async def handle_RCPT(
        self, server: Any, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        if not address.endswith("@b.test"):
            return "550 not relaying to that domain"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(rcpt_options)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        assert envelope.original_content == envelope.content
        return "250 Message accepted for delivery"


def test_a_handler_decides_on_recipients_and_mails() -> None:
    lines, service = served(
        Relay,
        HELLO,
        b"MAIL FROM:<a@b>\r\nRCPT TO:<x@other.test>\r\n",
        b"RCPT TO:<y@b.test>\r\nDATA\r\n",
        b"hi\r\n.\r\n",
    )
    assert lines[10:] == [
        b"250 2.1.0 Sender OK",
        b"550 5.0.0 not relaying to that domain",
        b"250 2.0.0 OK",
        b"354 End data with <CR><LF>.<CR><LF>",
        b"250 2.0.0 Message accepted for delivery",
    ]
    [mail] = service.mails
    assert (mail.info.rcpt_tos, mail.content) == (("y@b.test",), b"hi\r\n")


class Remembering:
    """Keeps something of every type that can be kept, and looks at it in the next command, in another worker."""

    async def handle_EHLO(
        self, server: Any, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        session.seen = ["EHLO"]  # type: ignore[attr-defined]
        session.facts = {"names": {hostname}, "pair": (1, b"\0"), "ratio": 0.5}  # type: ignore[attr-defined]
        return [*responses[:-1], "250-X-REMEMBER", responses[-1]]

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, mail_options: list[str]) -> str:
        session.seen.append("MAIL")
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        envelope.note = "of this mail"
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        session.seen.append("RCPT")
        envelope.rcpt_tos.append(address)
        envelope.note += "!"
        return "250 OK"

    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        assert session.facts == {"names": {"c"}, "pair": (1, b"\0"), "ratio": 0.5}
        assert type(session.facts["pair"]) is tuple
        return f"250 {'+'.join(session.seen)} {getattr(envelope, 'note', 'nothing')} {arg}"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        return f"250 {envelope.note}"


def test_attributes_of_session_and_envelope_go_with_the_session() -> None:
    stream = HELLO + b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nNOOP x\r\nDATA\r\n.\r\nNOOP\r\n"
    lines, service = served(Remembering, *stream.splitlines(keepends=True))
    assert b"250-X-REMEMBER" in lines
    assert lines[-4:] == [
        b"250 2.0.0 EHLO+MAIL+RCPT+RCPT of this mail!! x",
        b"354 End data with <CR><LF>.<CR><LF>",
        b"250 2.0.0 of this mail!!",
        b"250 2.0.0 EHLO+MAIL+RCPT+RCPT nothing None",
    ]
    assert service.mails[0].info.rcpt_tos == ("c@d", "e@f")


def test_rset_forgets_the_attributes_of_the_envelope_and_keeps_those_of_the_session() -> None:
    lines, _ = served(Remembering, HELLO, b"MAIL FROM:<a@b>\r\n", b"RSET\r\n", b"NOOP\r\n")
    assert lines[-1] == b"250 2.0.0 EHLO+MAIL nothing None"


def test_a_hooked_session_is_the_same_in_any_cut() -> None:
    stream = (
        HELLO + b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nNOOP\r\nDATA\r\n" + dot_stuffed(b".x\r\n") + b"NOOP\r\nQUIT\r\n"
    )
    whole, _ = served(Remembering, stream)
    for cut in range(1, len(stream)):
        lines, service = served(Remembering, stream[:cut], stream[cut:])
        assert lines == whole
        assert [mail.content for mail in service.mails] == [b".x\r\n"]


class Everything:
    """Answers every command in its own way."""

    def __init__(self) -> None:
        self.loops: set[asyncio.AbstractEventLoop] = set()

    async def handle_HELO(self, server: Any, session: Session, envelope: Envelope, hostname: str) -> str:
        session.host_name = "renamed"
        return f"250 {server.hostname} greets {hostname}"

    async def handle_RSET(self, server: Any, session: Session, envelope: Envelope) -> str:
        return "250 forgotten"

    async def handle_NOOP(self, server: Any, session: Session, envelope: Envelope, arg: str) -> str:
        assert server.session is session
        assert server.envelope is envelope
        assert server.event_handler is self
        assert server.loop is session.loop is asyncio.get_running_loop()
        self.loops.add(server.loop)
        assert len(self.loops) == 1, "one loop per worker"
        return f"250 {session.peer} {session.host_name} {session.extended_smtp} {session.ssl}"

    async def handle_VRFY(self, server: Any, session: Session, envelope: Envelope, address: str) -> str:
        return f"252 {address}?"

    async def handle_QUIT(self, server: Any, session: Session, envelope: Envelope) -> str:
        return "221 so long"


def test_hooks_of_the_other_commands() -> None:
    commands = b"HELO c\r\nRSET\r\nNOOP\r\nVRFY <a@b>\r\nEHLO c\r\nNOOP\r\nQUIT\r\n"
    lines, _ = served(Everything, *commands.splitlines(keepends=True))
    assert [line for line in lines if line[3:4] == b" "] == [
        b"250 mx.test greets c",
        b"250 2.0.0 forgotten",
        b"250 2.0.0 ('192.0.2.1', 1234) renamed False None",
        b"252 2.0.0 a@b?",
        b"250 HELP",
        b"250 2.0.0 ('192.0.2.1', 1234) c True None",
        b"221 2.0.0 so long",
    ]


class OldEhlo:
    async def handle_EHLO(self, server: Any, session: Session, envelope: Envelope, hostname: str) -> str:
        session.host_name = hostname
        await server.push("250-X-PUSHED")
        return "250 X-LAST"


def test_the_older_form_of_handle_ehlo_adds_lines() -> None:
    lines, _ = served(OldEhlo, HELLO + b"MAIL FROM:<>\r\n")
    assert lines[0] == b"250-mx.test"
    assert lines[-3:] == [b"250-X-PUSHED", b"250 X-LAST", b"250 2.1.0 Sender OK"]


class OldEhloWithHelp:
    async def handle_EHLO(self, server: Any, session: Session, envelope: Envelope, hostname: str) -> str:
        session.host_name = hostname
        return "250 HELP"


def test_the_older_form_of_handle_ehlo_announces_nothing_twice() -> None:
    """In aiosmtpd its reply is the last line, which `250 HELP` is by custom."""
    lines, _ = served(OldEhloWithHelp, HELLO)
    assert [line[4:] for line in lines[1:]] == [
        b"PIPELINING",
        b"SIZE 2000",
        b"8BITMIME",
        b"SMTPUTF8",
        b"ENHANCEDSTATUSCODES",
        b"DSN",
        b"LIMITS MAILMAX=1000 RCPTMAX=3",
        b"VRFY",
        b"HELP",
    ]


class Inspecting:
    """Answers EHLO with what it sees."""

    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, name: str, responses: list[str]) -> list[str]:
        session.host_name = name
        seen = f"{session.extended_smtp} {envelope.mail_from} {getattr(envelope, 'note', None)}"
        return [f"550 {seen}" if name == "evil" else f"250 {seen}"]

    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        envelope.note = arg or envelope.note
        return f"250 {envelope.mail_from} {envelope.note} {session.host_name}"


def test_ehlo_is_asked_with_an_empty_envelope_and_what_was_there_outlasts_a_refusal() -> None:
    commands = b"HELO c\r\nMAIL FROM:<a@b>\r\nNOOP kept\r\nEHLO evil\r\nNOOP\r\nEHLO good\r\nNOOP gone\r\n"
    lines, _ = served(Inspecting, *commands.splitlines(keepends=True))
    assert lines[2:] == [
        b"250 2.0.0 a@b kept c",
        b"550 True None None",
        b"250 2.0.0 a@b kept c",
        b"250 True None None",
        b"250 2.0.0 None gone good",
    ]


class Refusing:
    """Says no, after it has changed what it should have left alone."""

    async def handle_EHLO(
        self, server: Any, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return ["550 not you"] if hostname == "evil" else responses

    async def handle_MAIL(self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:
        envelope.mail_from = address
        session.tried = getattr(session, "tried", 0) + 1
        return "250 OK" if session.tried == 2 else "550 not yet"

    async def handle_RCPT(self, server: Any, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        envelope.rcpt_tos.append(address)
        return "450 never"


def test_what_a_hook_refuses_has_not_happened() -> None:
    stream = (
        b"EHLO evil\r\nMAIL FROM:<a@b>\r\nEHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
        b"MAIL FROM:<a@b>\r\nEHLO evil\r\nRCPT TO:<c@d>\r\nDATA\r\n"
    )
    lines, _ = served(Refusing, *stream.splitlines(keepends=True))
    assert codes(b"\r\n".join(lines)) == [550, 503, 250, 550, 503, 250, 550, 450, 554]


def test_a_mail_that_a_hook_accepted_was_not_refused() -> None:
    """DATA without any RCPT is then the client's error, and not the wrong guess of one that pipelines."""
    lines, _ = served(Refusing, HELLO, b"MAIL FROM:<a@b>\r\n", b"MAIL FROM:<a@b>\r\n", b"DATA\r\n")
    assert lines[-3:] == [b"550 5.0.0 not yet", b"250 2.0.0 OK", b"503 5.5.1 Send RCPT first"]


class RefusingWithNotes:
    """Refuses one sender and one recipient, after it has tampered with all that it was given."""

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address == "no@a.test":
            session.host_name, session.extended_smtp = "tampered", False
            envelope.mail_from, envelope.note = "evil@a.test", "refused"
            return "550 no"
        envelope.mail_from = address
        return f"250 {envelope.note}"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        envelope.rcpt_tos.append(address)
        if address == "no@b.test":
            envelope.mail_from, envelope.note = "evil@a.test", "refused again"
            return "550 no"
        return f"250 {session.host_name} {session.extended_smtp} {envelope.note}"


def test_of_what_a_refusing_hook_did_only_the_attributes_stay() -> None:
    """As on aiosmtpd's Session and Envelope, which last from one command to the next."""
    stream = (
        HELLO + b"MAIL FROM:<no@a.test>\r\nMAIL FROM:<a@a.test>\r\n"
        b"RCPT TO:<no@b.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n.\r\n"
    )
    lines, service = served(RefusingWithNotes, *stream.splitlines(keepends=True))
    assert lines[10:14] == [
        b"550 5.0.0 no",
        b"250 2.0.0 refused",
        b"550 5.0.0 no",
        b"250 2.0.0 c True refused again",
    ]
    [mail] = service.mails
    assert (mail.info.helo, mail.info.mail_from, mail.info.rcpt_tos) == ("c", "a@a.test", ("b@b.test",))


class Rewriting:
    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        envelope.mail_from = "bounce@a.test"
        envelope.rcpt_tos[:] = ["list@b.test", "archive@b.test"]
        envelope.content = b"rewritten"
        return "250 OK"


def test_the_store_gets_the_envelope_that_handle_data_leaves_and_the_text_that_came() -> None:
    _, service = served(Rewriting, session(b"text\r\n"))
    [mail] = service.mails
    assert mail.info.mail_from == "bounce@a.test"
    assert mail.info.rcpt_tos == ("list@b.test", "archive@b.test")
    assert mail.content == b"text\r\n"


class Forwarding:
    """Sends everything on to two addresses instead, and keeps no parameters: aiosmtpd's hooks may, but need not."""

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        assert envelope.smtp_utf8
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        envelope.rcpt_tos += [f"one+{address}", f"two+{address}"]
        if options:
            envelope.rcpt_options.append("X-SEEN")
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        assert envelope.smtp_utf8
        del envelope.rcpt_tos[1]
        return f"250 {envelope.mail_options} {envelope.rcpt_options}"


def test_parameters_stay_with_the_mail_and_the_recipients_that_a_hook_made_of_them() -> None:
    lines, service = served(
        Forwarding,
        HELLO,
        b"MAIL FROM:<a@b> SMTPUTF8 ENVID=Q\r\n",
        b"RCPT TO:<c@d>\r\n",
        b"RCPT TO:<e@f> NOTIFY=NEVER ORCPT=rfc822;E@f\r\n",
        b"DATA\r\n.\r\n",
    )
    assert lines[-1] == b"250 2.0.0 [] ['X-SEEN']"
    [mail] = service.mails
    assert mail.info.mail_options == ("SMTPUTF8", "ENVID=Q")
    assert mail.info.rcpt_tos == ("one+c@d", "one+e@f", "two+e@f")
    assert mail.info.rcpt_options == ("", "NOTIFY=NEVER ORCPT=rfc822;E@f", "NOTIFY=NEVER ORCPT=rfc822;E@f")


class RefusingData:
    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        return "554 5.7.1 spam"


def test_a_mail_that_handle_data_refuses_is_not_stored_and_is_over() -> None:
    lines, service = served(RefusingData, HELLO + envelope() + b"text\r\n.\r\nDATA\r\n", envelope(2))
    assert codes(b"\r\n".join(lines)) == [250, 250, 250, 354, 554, 503, 250, 250, 354]
    assert service.mails == []


class Forgetful:
    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, name: str, responses: list[str]) -> list[str]:
        return responses

    async def handle_HELO(self, server: Any, session: Any, envelope: Any, name: str) -> str:
        session.host_name = name
        return "250 mx.test"

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        return "250 OK"


def test_a_hook_that_says_yes_and_changes_nothing_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """It owns the change of state: without one there is none, as in aiosmtpd."""
    lines, _ = served(Forgetful, HELLO + b"MAIL FROM:<a@b>\r\nHELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n")
    assert codes(b"\r\n".join(lines)) == [250, 503, 250, 250, 503]
    assert "set no session.host_name" in caplog.text
    assert "set no envelope.mail_from" in caplog.text


class Moving:
    """Says that the client is another, as behind a proxy of its own."""

    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        if arg == "move":
            session.peer = ("203.0.113.9", 25)
        elif arg == "back":
            session.peer = ("192.0.2.1", 1234)
        return f"250 {session.peer}"


def test_a_peer_that_a_hook_changes_stays_changed() -> None:
    lines, _ = served(Moving, *(b"NOOP%s\r\n" % word for word in (b"", b" move", b"", b"", b" back", b"")))
    before, moved = b"250 2.0.0 ('192.0.2.1', 1234)", b"250 2.0.0 ('203.0.113.9', 25)"
    assert lines == [before, moved, moved, moved, before, before]


def test_a_mail_is_logged_without_what_is_in_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    served(Relay, session(b"Subject: confidential\r\n\r\nconfidential\r\n"))
    assert "30 bytes" not in caplog.text
    assert "confidential" not in caplog.text
    [record] = [record for record in caplog.records if "stored" in record.message]
    assert "39 bytes, 1 recipients" in record.message


class GreetingAndRefusing:
    async def handle_EHLO(self, server: Any, session: Any, envelope: Any, name: str, responses: list[str]) -> list[str]:
        session.host_name = name
        return responses

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        return "550 no"


def test_an_ehlo_that_a_hook_accepts_is_a_new_beginning_in_every_respect() -> None:
    """The refused MAIL before it is no excuse any more for what is misplaced after it."""
    settings = dataclasses.replace(SETTINGS, limits=Limits(bad_commands=1))
    with Service(settings, GreetingAndRefusing()) as service:
        client = service.client()
        client.send(HELLO, b"MAIL FROM:<a@b>\r\n")
        assert codes(client.send(b"RCPT TO:<c@d>\r\n")) == [503]
        assert codes(client.send(HELLO, b"RCPT TO:<c@d>\r\n")) == [250, 421]
