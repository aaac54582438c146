"""The SMTP service: connects the engine, the handler's hooks and the mail store to a connection."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime

from rr_tcp import Connection, SessionDataError, StatefulProtocol
from services.smtp import replies
from services.smtp.errors import MailStoreError
from services.smtp.events import BodyChunk, BodyDiscarded, Decision, Message
from services.smtp.hook_calls import HookCall, consult, hook_call
from services.smtp.hooks import HandlerSpec, Hooks
from services.smtp.mailstore import Mail as StoredMail
from services.smtp.mailstore import MailInfo, MailStore, open_mail_store
from services.smtp.protocol import SmtpEngine
from services.smtp.replies import Reply
from services.smtp.settings import SmtpSettings
from services.smtp.state import SmtpState, Transaction

log = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return uuid.uuid4().hex


def _handler_maker(settings: SmtpSettings, handler: object | None) -> Callable[[], object] | None:
    if handler is not None:
        return lambda: handler
    return HandlerSpec.parse(settings.handler).make if settings.handler else None


class SmtpProtocol(StatefulProtocol[SmtpState]):
    """An SMTP server that stores what it receives.

    At the end of a mail the order is: `handle_DATA`, which may refuse it; the mail store; the reply. So a 2xx says that
    the mail is in the store. A mail that could not be stored is answered 451, and a client that gets no reply, because
    its worker died, sends the mail again: hooks see a mail at least once, and so may the store, under another id.

    Args:
        settings: host name, limits, handler and mail store.
        store: the mail store instead of the one that the settings name.
        handler: an object with aiosmtpd's hooks instead of the class that the settings name.
        clock: the time in UTC.
        new_id: makes the id of a mail, unique for ever.

    Raises:
        ConfigurationError: the settings name a mail store or handler that does not exist.
    """

    state_type = SmtpState
    error_reply = replies.SERVER_ERROR.encode()
    expired_reply = replies.SESSION_EXPIRED.encode()

    def __init__(
        self,
        settings: SmtpSettings | None = None,
        *,
        store: MailStore | None = None,
        handler: object | None = None,
        clock: Callable[[], datetime] = _now,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        self._settings = settings = settings or SmtpSettings()
        self._store = store or open_mail_store(settings.mail_store)
        self._make_handler = _handler_maker(settings, handler)
        self._hooks: Hooks | None = None
        self._clock = clock
        self._new_id = new_id

    def connected(self, connection: Connection[SmtpState]) -> Awaitable[None] | None:
        """Greets the client."""
        engine = self._engine(connection)
        engine.greet()
        self._finish(connection, engine)
        try:
            self._store.open()
        except MailStoreError as error:
            log.error("connection %s: its mails will be refused for now (451): %s", connection.uuid, error)
        return self._prepare_hooks(self._make_handler) if self._make_handler else None

    def data_received(self, connection: Connection[SmtpState], data: bytes) -> Awaitable[None] | None:
        """Answers the commands that `data` ends."""
        engine = self._engine(connection)
        engine.receive_data(data)
        if self._make_handler:
            return self._answer_with_hooks(connection, engine, self._make_handler)
        for event in self._decisions(connection, engine):
            self._carry_out(connection, engine, event)
        self._finish(connection, engine)
        return None

    def eof_received(self, connection: Connection[SmtpState], data: bytes) -> Awaitable[None] | None:
        r"""Answers what is complete in the last piece of a client that ended its side: `printf 'EHLO c\r\n...' | nc`.

        A text that began in an earlier event went with the connection, and its mail with it.
        """
        body = connection.state.body
        return None if body is not None and body.size else self.data_received(connection, data)

    def close(self) -> None:
        """Closes the mail store; call it when the worker ends."""
        self._store.close()

    def _engine(self, connection: Connection[SmtpState]) -> SmtpEngine:
        return SmtpEngine(connection.state, self._settings, new_id=self._new_id)

    @staticmethod
    def _decisions(connection: Connection[SmtpState], engine: SmtpEngine) -> Iterator[Decision]:
        """The events that need an answer; the text of mails goes to the connection's bulk data on the way."""
        while (event := engine.next_event()) is not None:
            match event:
                case BodyChunk(data):
                    connection.append_bulk(data)
                case BodyDiscarded():
                    connection.clear_bulk()
                case _:
                    yield event

    @staticmethod
    def _finish(connection: Connection[SmtpState], engine: SmtpEngine) -> None:
        connection.write(engine.data_to_send())
        if engine.closing:
            connection.close()

    # Without hooks.

    def _carry_out(self, connection: Connection[SmtpState], engine: SmtpEngine, event: Decision) -> None:
        if isinstance(event, Message):
            content = self._take_text(connection, event)
            if not self._stored(connection, event.transaction, content):
                engine.reply(replies.NOT_STORED)
                return
        engine.accept()

    @staticmethod
    def _take_text(connection: Connection[SmtpState], message: Message) -> bytes:
        """The text of a mail, which leaves the connection's bulk data."""
        content = connection.read_bulk()
        if len(content) != message.size:
            raise SessionDataError(
                f"the session store returned {len(content)} bytes of a mail of {message.size}: the mail is not "
                "accepted. See that the store evicts nothing and that nothing else writes to it"
            )
        connection.clear_bulk()
        return content

    def _stored(self, connection: Connection[SmtpState], transaction: Transaction, content: bytes) -> bool:
        """Stores a mail; False when that failed."""
        info = MailInfo(
            id=transaction.id,
            mail_from=transaction.mail_from,
            rcpt_tos=tuple(transaction.rcpt_tos),
            size=len(content),
            received_at=self._clock(),
            peer=connection.remote_addr,
            sha256=hashlib.sha256(content).hexdigest(),
            helo=connection.state.helo,
            mail_options=tuple(transaction.mail_options),
            rcpt_options=tuple(transaction.rcpt_options),
        )
        try:
            self._store.add(StoredMail(info, content))
        except MailStoreError as error:
            log.error("connection %s: mail %s is refused for now (451): %s", connection.uuid, info.id, error)
            return False
        log.info(
            "connection %s: mail %s stored, %d bytes, %d recipients",
            connection.uuid,
            info.id,
            info.size,
            len(info.rcpt_tos),
        )
        return True

    # With hooks.

    async def _prepare_hooks(self, make_handler: Callable[[], object]) -> None:
        """Makes the handler with the first connection, not with its first command."""
        self._running_hooks(make_handler)

    def _running_hooks(self, make_handler: Callable[[], object]) -> Hooks:
        """The handler's hooks; made in the running event loop, at the first event that this process handles."""
        if self._hooks is None:
            self._hooks = Hooks(make_handler(), self._settings.hostname)
        return self._hooks

    async def _answer_with_hooks(
        self, connection: Connection[SmtpState], engine: SmtpEngine, make_handler: Callable[[], object]
    ) -> None:
        hooks = self._running_hooks(make_handler)
        for event in self._decisions(connection, engine):
            call = hook_call(event, hooks)
            if call.command in hooks:
                engine.reply(await self._ask(hooks, call, connection, event))
            else:
                self._carry_out(connection, engine, event)
        self._finish(connection, engine)

    async def _ask(self, hooks: Hooks, call: HookCall, connection: Connection[SmtpState], event: Decision) -> Reply:
        content = self._take_text(connection, event) if isinstance(event, Message) else b""
        reply, transaction = await consult(hooks, call, connection.state, event, peer=connection.peer, content=content)
        if isinstance(event, Message) and reply.positive:
            stored = self._stored(connection, transaction or event.transaction, content)
            return reply if stored else replies.NOT_STORED
        return reply
