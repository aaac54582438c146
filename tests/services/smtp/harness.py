"""Drives the engine, and the service, as RoadRunner's workers do: nothing survives a piece of input but saved bytes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

import msgspec

from rr_tcp import App
from rr_tcp.testing import ConnectionDriver, MemorySessionStore
from services.smtp import Limits, MailEnvelope, MailInfo, MailStoreError, SmtpProtocol, SmtpSettings
from services.smtp import replies as texts
from services.smtp.auth import NO_AUTH, AuthPolicy, Challenge, Exchange, advance
from services.smtp.errors import RemoteProtocolError
from services.smtp.events import Authenticate, BodyChunk, BodyDiscarded, Message, MessageRefused
from services.smtp.mailstore.pieces import Measured
from services.smtp.protocol import SmtpEngine
from services.smtp.state import SmtpState, Transaction

LIMITS = Limits(message=2000, text_line=1000, recipients=3, bad_commands=20)
SETTINGS = SmtpSettings(hostname="mx.test", limits=LIMITS)
AUTH = AuthPolicy(("LOGIN", "PLAIN"))
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@dataclass
class Outcome:
    """What came of a dialogue with the engine.

    Attributes:
        replies: all bytes sent to the client.
        mails: the accepted mails with their texts.
        most_kept: the largest number of bytes of text held at any time.
        largest_state: the largest encoded state.
    """

    replies: bytes = b""
    mails: list[tuple[Transaction, bytes]] = field(default_factory=list)
    closed: bool = False
    most_kept: int = 0
    largest_state: int = 0


def converse(
    pieces: Iterable[bytes],
    settings: SmtpSettings = SETTINGS,
    *,
    auth: AuthPolicy = NO_AUTH,
    saved: Callable[[bytes], None] = lambda _: None,
) -> Outcome:
    """Gives each piece to an engine of its own; the state travels between them as bytes, and `saved` is told of it."""
    outcome = Outcome()
    ids = (f"id{number}" for number in itertools.count(1))
    kept, text = msgspec.msgpack.encode(SmtpState()), b""
    for piece in pieces:
        state = msgspec.msgpack.decode(kept, type=SmtpState)
        engine = SmtpEngine(state, settings, new_id=ids.__next__, auth=auth)
        engine.receive_data(piece)
        while (event := engine.next_event()) is not None:
            match event:
                case BodyChunk(data):
                    text += data
                    outcome.most_kept = max(outcome.most_kept, len(text))
                case BodyDiscarded():
                    text = b""
                case MessageRefused():  # its reply has been given
                    text = b""
                case Message(transaction, size):
                    assert size == len(text)
                    outcome.mails.append((transaction, text))
                    text = b""
                    engine.accept()
                case Authenticate(exchange):
                    _authenticate(engine, exchange)
                case _:
                    engine.accept()
        outcome.replies += engine.data_to_send()
        outcome.closed = engine.closing
        kept = msgspec.msgpack.encode(state)
        saved(kept)
        outcome.largest_state = max(outcome.largest_state, len(kept))
        if outcome.closed:
            break
    return outcome


def _authenticate(engine: SmtpEngine, exchange: Exchange) -> None:
    """The one user is alice, her password open sesame."""
    try:
        step = advance(exchange)
    except RemoteProtocolError as error:
        engine.reply(error.reply)
        return
    if isinstance(step, Challenge):
        engine.challenge(step)
    elif (step.login, step.password) == (b"alice", b"open sesame"):
        engine.authenticate("alice")
    else:
        engine.reply(texts.WRONG_CREDENTIALS)


def codes(replies: bytes) -> list[int]:
    """The codes of the replies in order, each once however many lines it has."""
    return [int(line[:3]) for line in replies.splitlines() if line[3:4] != b"-"]


@dataclass(frozen=True)
class Mail:
    """A stored mail.

    Attributes:
        info: its envelope and how it came.
        content: its text.
    """

    info: MailInfo
    content: bytes


class MemoryMailStore:
    """A mail store in memory, as far as a receiver needs one.

    Attributes:
        kept: the mails, by id.
        failing: what `open` and `add` raise, if anything.
        opened: how often it was made ready.
        attempts: how often a mail was to be added.
        pruned: the arguments of the calls of `prune`.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Mail] = {}
        self.failing: MailStoreError | None = None
        self.opened = 0
        self.attempts = 0
        self.pruned: list[tuple[int | None, timedelta | None, int]] = []

    def open(self) -> None:
        """See `MailStore.open`."""
        self.opened += 1
        if self.failing:
            raise self.failing

    def add(self, envelope: MailEnvelope, pieces: Iterable[bytes]) -> MailInfo:
        """See `MailStore.add`."""
        self.attempts += 1
        if self.failing:
            raise self.failing
        measured = Measured(pieces)
        content = b"".join(measured)
        return self.kept.setdefault(envelope.id, Mail(measured.info(envelope), content)).info

    def prune(self, *, keep: int | None = None, older: timedelta | None = None, limit: int = 1) -> int:
        """See `MailStore.prune`; only notes what was asked for."""
        self.pruned.append((keep, older, limit))
        return 0

    def close(self) -> None:
        """There is nothing to give back."""


class Service:
    """The service in two workers that take turns, with one session store and one mail store.

    Args:
        settings: of the service.
        handlers: objects with aiosmtpd's hooks, one per worker; none for a service without.
        sessions: where sessions rest.
    """

    def __init__(
        self, settings: SmtpSettings = SETTINGS, *handlers: object, sessions: MemorySessionStore | None = None
    ) -> None:
        self.sessions = sessions or MemorySessionStore()
        self.store = MemoryMailStore()
        self._apps = [self._worker(settings, handler) for handler in handlers or (None, None)]
        self._turns = itertools.cycle(self._apps)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for app in self._apps:
            app.close()

    def _worker(self, settings: SmtpSettings, handler: object | None) -> App:
        app = App(store=self.sessions)
        protocol = SmtpProtocol(settings, store=self.store, handler=handler, clock=lambda: NOW)
        for server in ("smtp", *settings.auth_listeners):
            app.add(server, protocol)
        return app

    def client(self, server: str = "smtp") -> ConnectionDriver:
        """A client that has read the greeting. Each of its events is handled by the worker whose turn it is."""
        driver = ConnectionDriver(self._turns.__next__, server, remote_addr="192.0.2.1:1234")
        assert driver.connect() == b"220 mx.test ESMTP ready\r\n"
        return driver

    @property
    def mails(self) -> list[Mail]:
        """What was stored, in order."""
        return list(self.store.kept.values())
