"""The SMTP service: connects the engine, the handler's hooks and the mail store to a connection."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from rr_tcp import Connection, EventCutShortError, SessionError, StatefulProtocol
from services.smtp import replies
from services.smtp.auth_hooks import consult_auth
from services.smtp.authentication import Authentication, answer_auth
from services.smtp.delivery import Delivery
from services.smtp.errors import HandlerFaultError, MailStoreError
from services.smtp.events import Authenticate, BodyChunk, BodyDiscarded, Decision, Message, MessageRefused
from services.smtp.hook_calls import HookCall, consult, hook_call
from services.smtp.hooks import HandlerSpec, Hooks
from services.smtp.mailstore import MailSink, open_mail_store
from services.smtp.mailstore.retaining import RetainingSink
from services.smtp.outcomes import MailObserver, Outcomes
from services.smtp.protocol import SmtpEngine
from services.smtp.settings import SmtpSettings
from services.smtp.state import SmtpState

log = logging.getLogger(__name__)

SLICE: Final = 256 * 1024
"""Bytes that the engine gets at a time. RoadRunner may hand over many megabytes as one event; decoding makes copies, of
a slice then and not of all."""


def _now() -> datetime:
    return datetime.now(UTC)


def _new_id() -> str:
    return os.urandom(16).hex()  # as random as a UUID, without making the object first


def _hooks_maker(
    settings: SmtpSettings, handler: object | None, authentication: Authentication
) -> Callable[[], Hooks] | None:
    """What returns the hooks of the one handler of this process, to be called in its event loop; None without any."""
    hooks_of = functools.partial(
        Hooks,
        settings=settings,
        auth=authentication.offered,
        authenticator=authentication.authenticator,
    )
    if handler is None and settings.handler:
        spec = HandlerSpec.parse(settings.handler)
        return functools.cache(lambda: hooks_of(spec.make()))
    if handler is None and authentication.authenticator is None:
        return None
    hooks = hooks_of(handler)  # None has no hooks, and the authenticator is called as they are
    return lambda: hooks


class SmtpProtocol(StatefulProtocol[SmtpState]):
    """An SMTP server that stores what it receives.

    At the end of a mail the order is: `handle_DATA`, which may refuse it; the mail store; the reply. So a 2xx says that
    the mail is in the store. A mail that could not be stored is answered 451.

    A client that gets no reply sends the mail again: so hooks see a mail at least once, and so may the store, under
    another id. That happens when the worker dies after the mail was stored. A session store that fails, or a fault of
    a hook, is no such case: the replies to what was done before it leave, and a mail that `handle_DATA` accepted is
    stored and answered; only then the session ends (421).

    Args:
        settings: host name, limits, handler and mail store.
        store: the mail store instead of the one that the settings name.
        handler: an object with aiosmtpd's hooks instead of the class that the settings name.
        clock: the time in UTC.
        new_id: makes the id of a mail, unique for ever.
        observer: is told what becomes of mails, to count them.

    Raises:
        ConfigurationError: the settings name a mail store, handler or authenticator that does not exist, or the handler
            has hooks that would never be called, or what they say of AUTH does not fit together.
    """

    state_type = SmtpState
    error_reply = replies.SERVER_ERROR.encode()
    expired_reply = replies.SESSION_EXPIRED.encode()
    refused_reply = replies.TOO_MANY_CONNECTIONS.encode()

    def __init__(
        self,
        settings: SmtpSettings | None = None,
        *,
        store: MailSink | None = None,
        handler: object | None = None,
        clock: Callable[[], datetime] = _now,
        new_id: Callable[[], str] = _new_id,
        observer: MailObserver | None = None,
    ) -> None:
        self._settings = settings = settings or SmtpSettings()
        age = settings.mail_max_age
        self._store = RetainingSink(
            store or open_mail_store(settings.mail_store, room=settings.mail_room),
            keep=settings.mail_keep,
            older=None if age is None else timedelta(seconds=age),
        )
        self._authentication = Authentication(settings)
        self._make_hooks = _hooks_maker(settings, handler, self._authentication)
        self._clock = clock
        self._new_id = new_id
        self._outcomes = Outcomes(observer)

    async def start(self) -> None:
        """Makes the handler that the settings name, in the event loop that will run its hooks.

        Let the worker call it before the first event (`App.on_startup`), so that a handler that cannot be made ends
        the worker. Else it is made with the first event, and what it raises costs that event's connection.

        Raises:
            ConfigurationError: it cannot be made, or a listener has AUTH and nobody could authenticate.
        """
        self._authentication.check(self._make_hooks() if self._make_hooks else None)

    def connected(self, connection: Connection[SmtpState]) -> Awaitable[None] | None:
        """Greets the client."""
        engine = self._engine(connection)
        engine.greet()
        self._finish(connection, engine)
        try:
            self._store.open()
        except MailStoreError as error:
            log.error("connection %s: its mails will be refused for now (451): %s", connection.uuid, error)
        return self._make_handler(self._make_hooks) if self._make_hooks else None

    @staticmethod
    async def _make_handler(make_hooks: Callable[[], Hooks]) -> None:
        make_hooks()

    def data_received(self, connection: Connection[SmtpState], data: bytes) -> Awaitable[None] | None:
        """Answers the commands that `data` ends."""
        delivery = Delivery(
            connection,
            self._store,
            limit=self._settings.limits.messages_at_once,
            clock=self._clock,
            outcomes=self._outcomes,
            tls=self._authentication.behind_tls(connection.server),
        )
        if self._make_hooks:
            return self._answer_with_hooks(connection, delivery, data, self._make_hooks)
        engine = self._engine(connection)
        try:
            for event in self._decisions(connection, engine, delivery, data):
                self._carry_out(connection, engine, delivery, event)
        except SessionError as error:
            raise self._cut_short(engine, error) from error
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

    def _engine(self, connection: Connection[SmtpState], hooks: Hooks | None = None) -> SmtpEngine:
        auth = self._authentication.policy(connection.server, hooks)
        return SmtpEngine(connection.state, self._settings, new_id=self._new_id, auth=auth)

    def _decisions(
        self, connection: Connection[SmtpState], engine: SmtpEngine, delivery: Delivery, data: bytes
    ) -> Iterator[Decision]:
        """The events that need an answer; the text of mails goes to the connection's bulk data on the way."""
        limits = self._settings.limits
        most = limits.commands_at_once + limits.recipients
        for start in range(0, len(data), SLICE):
            if engine.unsent > most and not engine.closing:  # commands that are no events, such as HELP
                engine.end(replies.TOO_MANY_COMMANDS_AT_ONCE)
            engine.receive_data(data[start : start + SLICE])
            while (event := engine.next_event()) is not None:
                match event:
                    case BodyChunk(text):
                        connection.append_bulk(text)
                    case BodyDiscarded():
                        connection.clear_bulk()
                    case MessageRefused(transaction, size, reply):
                        self._outcomes.refused(connection.uuid, transaction, size, reply)
                    case Message(transaction, size) if delivery.full:
                        self._outcomes.refused(connection.uuid, transaction, size, replies.TOO_MANY_AT_ONCE)
                        engine.reply(replies.TOO_MANY_AT_ONCE)
                    case _ if engine.unsent > most:
                        engine.reply(replies.TOO_MANY_COMMANDS_AT_ONCE)
                    case _:
                        yield event

    def _finish(self, connection: Connection[SmtpState], engine: SmtpEngine) -> None:
        self._outcomes.said(engine.refusals)
        connection.write(engine.data_to_send())
        if engine.closing:
            connection.close()

    def _cut_short(self, engine: SmtpEngine, error: SessionError) -> EventCutShortError:
        """What to raise when the text of a mail cannot be kept, or read: mails before it in the event may be stored."""
        self._outcomes.said(engine.refusals)
        return EventCutShortError(str(error), engine.data_to_send())

    def _carry_out(
        self, connection: Connection[SmtpState], engine: SmtpEngine, delivery: Delivery, event: Decision
    ) -> None:
        """Does what SMTP has for an event that no hook is asked about."""
        if isinstance(event, Authenticate):
            answer_auth(connection, engine, event, self._authentication.answer(event.exchange))
            return
        refusal = delivery.deliver(event) if isinstance(event, Message) else None
        if refusal is None:
            engine.accept()
        else:
            engine.reply(refusal)

    async def _answer_with_hooks(
        self,
        connection: Connection[SmtpState],
        delivery: Delivery,
        data: bytes,
        make_hooks: Callable[[], Hooks],
    ) -> None:
        hooks = make_hooks()
        engine = self._engine(connection, hooks)
        try:
            for event in self._decisions(connection, engine, delivery, data):
                call = hook_call(event, hooks)
                if isinstance(event, Authenticate):
                    await self._ask_auth(hooks, connection, engine, event)
                elif call.command in hooks:
                    await self._ask(hooks, call, connection, engine, delivery, event)
                else:
                    self._carry_out(connection, engine, delivery, event)
        except SessionError as error:
            raise self._cut_short(engine, error) from error
        self._finish(connection, engine)

    async def _ask_auth(
        self, hooks: Hooks, connection: Connection[SmtpState], engine: SmtpEngine, event: Authenticate
    ) -> None:
        """Lets the hooks for AUTH, and the authenticator, answer an event."""
        auth, state = self._authentication, connection.state
        try:
            answer = await consult_auth(hooks, auth, state, event.exchange, peer=connection.peer)
        except HandlerFaultError as error:
            log.error("connection %s ends (421): %s", connection.uuid, error)
            answer = replies.SERVER_ERROR
        answer_auth(connection, engine, event, answer)

    async def _ask(
        self,
        hooks: Hooks,
        call: HookCall,
        connection: Connection[SmtpState],
        engine: SmtpEngine,
        delivery: Delivery,
        event: Decision,
    ) -> None:
        """Lets a hook answer an event. What it leaves behind and cannot be saved ends the session."""
        content = delivery.take_text(event) if isinstance(event, Message) else b""
        try:
            answer = await consult(hooks, call, connection.state, event, peer=connection.peer, content=content)
        except HandlerFaultError as error:
            log.error("connection %s ends (421): %s", connection.uuid, error)
            if isinstance(event, Message):
                self._outcomes.refused(connection.uuid, event.transaction, event.size, replies.SERVER_ERROR)
            engine.reply(replies.SERVER_ERROR)
            return
        reply = answer.reply
        if isinstance(event, Message):
            transaction = answer.transaction or event.transaction
            if reply.positive:
                reply = delivery.store(transaction, (content,), len(content)) or reply
            else:
                self._outcomes.refused(connection.uuid, transaction, event.size, reply)
        engine.reply(reply)
        if answer.fault is not None:
            log.error("connection %s ends (421): %s", connection.uuid, answer.fault)
            engine.end(replies.SERVER_ERROR)
