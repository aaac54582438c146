"""Our service, of which every event is handled by another worker: state goes through the session store alone."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import UTC, datetime
from typing import Final, Self

from rr_tcp import App
from rr_tcp.sessions import StateCodec
from rr_tcp.testing import ConnectionDriver, MemorySessionStore
from services.smtp import Limits, SmtpProtocol, SmtpSettings
from services.smtp.attributes import decode_attributes
from services.smtp.state import SmtpState
from tests.differential.recorder import Recorder, authenticate
from tests.differential.stock import HOSTNAME, PEER
from tests.differential.wire import HookNote, ReceivedMail, Snapshot
from tests.services.smtp.harness import MemoryMailStore

WORKERS: Final = 3
"""That take turns."""

LIMITS: Final = Limits(message=3000, recipients=4, bad_commands=12, mails=7)
"""Small ones, so that dialogues reach them."""

SETTINGS: Final = SmtpSettings(hostname=HOSTNAME, limits=LIMITS)

HOOKED_SETTINGS: Final = dataclasses.replace(
    SETTINGS, auth_listeners=("smtp",), authenticator=f"{authenticate.__module__}.{authenticate.__name__}"
)
"""With AUTH, which the model and aiosmtpd then have too."""

_CODEC: Final = StateCodec(SmtpState)


class Workers:
    """A pool of workers of the service, which outlasts many dialogues.

    Args:
        hooked: whether they have the handler `Recorder`.

    Attributes:
        notes: what that noted.
        store: the mail store.
        sessions: the session store.
    """

    def __init__(self, *, hooked: bool) -> None:
        self.notes: list[HookNote] = []
        self.store = MemoryMailStore()
        self.sessions = MemorySessionStore()
        self._ids = itertools.count(1)
        self._apps = [self._app(Recorder(self.notes) if hooked else None) for _ in range(WORKERS)]
        self._turns = itertools.cycle(self._apps)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for app in self._apps:
            app.close()

    def next_worker(self) -> App:
        """The one whose turn it is."""
        return next(self._turns)

    def new_id(self) -> str:
        """Ids of mails, the same ones in every dialogue."""
        return f"{next(self._ids):032x}"

    def reset(self) -> None:
        """A new dialogue begins."""
        self.notes.clear()
        self.store.kept.clear()
        self._ids = itertools.count(1)

    def _app(self, handler: object | None) -> App:
        app = App(store=self.sessions)
        app.add(
            "smtp",
            SmtpProtocol(
                SETTINGS if handler is None else HOOKED_SETTINGS,
                store=self.store,
                handler=handler,
                clock=lambda: datetime(2026, 1, 2, tzinfo=UTC),
                new_id=self.new_id,
            ),
        )
        return app


class Service:
    """One connection to the service.

    Args:
        workers: that serve it. They have one connection at a time.
    """

    def __init__(self, workers: Workers) -> None:
        workers.reset()
        self._workers = workers
        self._driver = ConnectionDriver(workers.next_worker, "smtp", remote_addr=f"{PEER[0]}:{PEER[1]}")
        self.greeting = self._driver.connect()

    def feed(self, *pieces: bytes) -> bytes:
        """What the service writes when it gets these pieces, each as one event."""
        if self._driver.closed:
            raise ValueError("the server closed the connection")
        return self._driver.send(*pieces)

    def snapshot(self) -> Snapshot:
        """How far the session is, read from the session store."""
        if self._driver.closed:
            return Snapshot(closed=True)
        stored = self._workers.sessions.load(self._driver.uuid)
        assert stored is not None
        state = _CODEC.decode(stored.state)
        transaction = state.transaction
        return Snapshot(
            host_name=state.helo,
            extended=state.esmtp,
            mail_from=None if transaction is None else transaction.mail_from,
            rcpt_tos=() if transaction is None else tuple(transaction.rcpt_tos),
            in_text=state.body is not None,
            skip=state.skip,
            in_auth=state.auth is not None,
            authenticated=state.authenticated,
            kept=(
                tuple(decode_attributes(state.session_attributes).get("calls", ())),
                decode_attributes(state.envelope_attributes).get("calls", 0),
            ),
        )

    def mails(self) -> list[ReceivedMail]:
        """What was stored."""
        return [ReceivedMail.of(mail.info, mail.content) for mail in self._workers.store.kept.values()]

    def notes(self) -> list[HookNote]:
        """What the handler noted."""
        return list(self._workers.notes)

    def close(self) -> None:
        """The client goes away."""
        if not self._driver.closed:
            self._driver.end()
