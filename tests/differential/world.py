"""Many clients of a pool whose stores fail, whose sessions expire and whose workers die, beside the model."""

from __future__ import annotations

import contextlib
import itertools
import random
import tempfile
import uuid
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rr_tcp import App, Request, TcpEvent
from rr_tcp.sessions import SessionStore
from rr_tcp.stores import open_store
from rr_tcp.testing import ConnectionDriver, MemorySessionStore
from services.smtp import SmtpProtocol, open_mail_store
from services.smtp.mailstore import MailSink
from tests.differential.dialogues import Grammar
from tests.differential.faults import Crash, Fate, FaultyMails, FaultySessions, Point
from tests.differential.recorder import Recorder
from tests.differential.reference import ModelError, Reference
from tests.differential.service import HOOKED_SETTINGS, LIMITS, SETTINGS
from tests.differential.wire import ReceivedMail, codes_of, parse_replies
from tests.services.smtp.harness import MemoryMailStore
from tests.support.servers import running_redis

WORKERS: Final = 3
CLIENTS: Final = 12
"""Of one world."""

AT_ONCE: Final = 4
"""Clients that are connected at the same time."""

BETWEEN_EVENTS: Final = 0.01
"""How likely a worker dies while no event is handled, which nobody may notice."""

MAIL_STORES: Final = ("sqlite", "maildir", "redis")

LOSES_THE_EVENT: Final = frozenset({Point.LOAD, Point.LOADED, Point.BULK})
"""Where a failing session store costs the connection: the client gets 421 and none of the event's replies."""

LOSES_THE_REST: Final = frozenset({Point.SAVE, Point.SAVED})
"""Where it costs the connection as well, but what was done is done: the client gets the event's replies and 421."""


class World:
    """A pool, its stores, and clients with their dialogues.

    Args:
        rng: the source of all chance.
        mail_store: which one it has, of `MAIL_STORES`, with its sessions in LMDB; "" for both in memory.

    Attributes:
        happened: how often what happened.
        story: all that happened, in words.
    """

    def __init__(self, rng: random.Random, mail_store: str = "") -> None:
        self.rng = rng
        self.hooked = rng.random() < 1 / 3
        self.happened: Counter[str] = Counter()
        self.story: list[str] = []
        self.fate = Fate()
        self._mail_store = mail_store
        self._stack = contextlib.ExitStack()

    def run(self) -> None:
        """Lets all clients have their say, and looks at what was stored; `ModelError` when it is not what was due."""
        with self._stack:
            self._open()
            waiting = [Client(self, number) for number in range(CLIENTS)]
            connected: list[Client] = []
            while waiting or connected:
                if waiting and len(connected) < AT_ONCE:
                    connected.append(waiting.pop())
                if self.rng.random() < BETWEEN_EVENTS:
                    self.replace_workers()
                client = self.rng.choice(connected)
                client.act()
                if client.done:
                    connected.remove(client)
                    self._check(client)

    def worker(self) -> App:
        """Any."""
        return self.rng.choice(self._apps)

    def replace_workers(self) -> None:
        """One has died; what it knew is gone."""
        self._apps.remove(self.rng.choice(self._apps))
        self._apps.append(self._app())

    def expire(self, key: str) -> None:
        """The time of a session is over."""
        self._sessions.delete(key)

    def lives(self, key: str) -> bool:
        """Whether there is a session that is not over."""
        stored = self._sessions.load(key)
        return stored is not None and not stored.closed

    def _open(self) -> None:
        self._sessions: SessionStore = MemorySessionStore()
        self._mails: MailSink = MemoryMailStore()
        if self._mail_store:
            directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            self._sessions = open_store(f"lmdb://{directory}/sessions", rpc_address="tcp://127.0.0.1:1")
            self._mails = open_mail_store(self._url(directory))
        self._stack.callback(self._sessions.close)
        self._stack.callback(self._mails.close)
        self._apps = [self._app() for _ in range(WORKERS)]

    def _url(self, directory: Path) -> str:
        if self._mail_store == "redis":
            return self._stack.enter_context(running_redis(directory)).url
        return f"{self._mail_store}:///{directory}/mails"

    def _app(self) -> App:
        app = App(store=FaultySessions(self._sessions, self.fate))
        handler = Recorder([]) if self.hooked else None
        settings = HOOKED_SETTINGS if self.hooked else SETTINGS
        app.add("smtp", SmtpProtocol(settings, store=FaultyMails(self._mails, self.fate), handler=handler))
        self._stack.callback(app.close)
        return app

    def _check(self, client: Client) -> None:
        stored = Counter(mail for peer, mail in self._stored() if peer == client.address)
        due = Counter(client.model.mails)
        if due - stored:
            raise ModelError(f"{client}: acknowledged and not stored: {list(due - stored)}")
        if stored - due - Counter(client.unknown):
            raise ModelError(f"{client}: stored, and neither acknowledged nor doubtful: {list(stored - due)}")
        if not client.lost and self.lives(client.key):
            raise ModelError(f"{client}: its session lives on")
        self.happened["mails acknowledged"] += due.total()
        self.happened["mails stored without the client knowing"] += (stored - due).total()

    def _stored(self) -> Iterator[tuple[str, ReceivedMail]]:
        if isinstance(self._mails, MemoryMailStore):
            for mail in self._mails.kept.values():
                yield mail.info.peer, ReceivedMail.of(mail.info, mail.content)
            return
        assert hasattr(self._mails, "mails")
        assert hasattr(self._mails, "read")
        for info in self._mails.mails():
            yield info.peer, ReceivedMail.of(info, b"".join(self._mails.read(info.id)))


class Client:
    """One client with a dialogue, in pieces, and what the model makes of it.

    Attributes:
        model: of its session.
        unknown: mails of which it cannot know whether they are stored.
        lost: whether its session may still be there when it is over.
        done: whether it is over.
    """

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._number = number
        self.address = f"192.0.2.{number}:{2000 + number}"
        self.model = Reference(LIMITS, hooked=world.hooked)
        self.unknown: list[ReceivedMail] = []
        self.lost = self.done = False
        self._driver = ConnectionDriver(world.worker, "smtp", remote_addr=self.address)
        self._grammar = Grammar(world.rng)
        self._steps = deque(self._grammar.dialogue().steps)
        self._pieces: Iterator[bytes] = iter(())
        self._actions = itertools.chain([self._connect], itertools.repeat(self._send))

    def __str__(self) -> str:
        """Which one it is."""
        return f"client {self._number}"

    @property
    def key(self) -> str:
        """Of its session."""
        return self._driver.uuid

    def act(self) -> None:
        """Does what comes next."""
        next(self._actions)()

    def _tell(self, what: str) -> None:
        self._world.story.append(f"{self}: {what}")

    def _connect(self) -> None:
        self._tell("connects")
        self._driver.connect()

    def _send(self) -> None:
        """The next piece, mostly; or something happens to the client, or to whoever gets the piece."""
        piece = next(self._pieces, None) or self._next_piece()
        chance = self._world.rng.random()
        if piece is None or chance < 0.003:
            self._leave(b"")
        elif chance < 0.006:
            self._leave(piece)
        elif chance < 0.009:
            self._expire(piece)
        else:
            ends_mails = bool(self.model.would_store(piece))
            fails = self._world.rng.random() < (0.2 if ends_mails else 0.01)
            point = self._world.rng.choice(list(Point)) if fails else None
            self._event(piece, point, crash=self._world.rng.random() < 0.5)

    def _next_piece(self) -> bytes | None:
        """The first piece of what comes next: some steps, up to the next one that waits for 354."""
        burst = b""
        for _ in range(self._world.rng.choice((1, 3, 10))):
            while self._steps and self._steps[0].waits and not burst and not self.model.in_text:
                self._steps.popleft()
            if not self._steps or (self._steps[0].waits and burst and not self.model.in_text):
                break
            burst += self._steps.popleft().data
        if not burst:
            return None
        self._pieces = iter(self._grammar.pieces(burst))
        return next(self._pieces)

    def _event(self, piece: bytes, point: Point | None, *, crash: bool) -> None:
        fate = self._world.fate
        fault = f", and the {'worker' if crash else 'store'} fails when {point.value}" if point else ""
        self._tell(f"sends {piece!r}{fault}")
        possible = self.model.would_store(piece)
        fate.plan(point, crash=crash)
        self.model.store_fails = point in {Point.ADD, Point.ADDED} and not crash
        try:
            output = self._driver.send(piece)
        except Crash:
            self._world.replace_workers()
            self._end(lost=True, unknown=possible, what="a worker died")
            return
        finally:
            fired = fate.fired
            fate.plan(None)
        self._tell(f"gets {output!r}")
        if fired in LOSES_THE_EVENT:
            self._refused(output, b"421 4.3.0 ")
            self._end(lost=True, unknown=possible, what="the session store failed")
            return
        if fired in LOSES_THE_REST:
            replies, end = output[: output[:-1].rfind(b"\n") + 1], output[output[:-1].rfind(b"\n") + 1 :]
            self._refused(end, b"421 4.3.0 ")
            self.model.feed(piece, codes_of(parse_replies(replies)), closed=None)
            self._end(lost=True, unknown=[], what="a session could not be saved")
            return
        if fired is not None:
            self._world.happened[f"{fired.name} failed"] += 1
        if fired is Point.ADDED:
            self.unknown += possible
        self.model.feed(piece, codes_of(parse_replies(output)), closed=self._driver.closed)
        if self._driver.closed:  # if the store could not note it, the session is forgotten with its time only
            self._end(lost=fired is Point.END, unknown=[], what="the session ended")

    def _expire(self, piece: bytes) -> None:
        self._tell(f"is forgotten, and sends {piece!r}")
        self._world.expire(self.key)
        self._refused(self._driver.send(piece), b"421 4.4.2 ")
        self._end(lost=False, unknown=[], what="a session expired")

    def _refused(self, output: bytes, beginning: bytes) -> None:
        if not output.startswith(beginning) or output.count(b"\n") != 1 or not self._driver.closed:
            raise ModelError(f"{self} should have been told {beginning!r}, and the end: {output!r}")

    def _leave(self, rest: bytes) -> None:
        """Ends its side. RoadRunner tells so, hands over the rest if there is one, and tells so again."""
        self._tell(f"leaves with {rest!r}")
        lost, self.model.store_fails = self.model.text_has_begun, False
        output = self._driver.end(rest)
        self._tell(f"gets {output!r}")
        if rest and not lost:
            self.model.feed(rest, codes_of(parse_replies(output)), closed=None)
        elif output:
            raise ModelError(f"{self} left in mid-text and was answered {output!r}")
        self._end(lost=not rest, unknown=[], what="a client left")  # without one, it may still come

    def _end(self, *, lost: bool, unknown: list[ReceivedMail], what: str) -> None:
        self._tell(f"is over: {what}")
        self._world.happened[what] += 1
        self.unknown += unknown
        self.lost, self.done = lost, True
        if not lost:
            self._replay()

    def _replay(self) -> None:
        """A late event of a connection that is over changes nothing, and has no good reply."""
        late = b"NOOP\r\nEHLO c\r\nMAIL FROM:<late@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\nlate\r\n.\r\n"
        event = self._world.rng.choice((TcpEvent.DATA, TcpEvent.CLOSE))
        response = self._world.worker().handle(
            Request(
                remote_addr=self.address,
                event=event,
                body=late if event is TcpEvent.DATA else b"",
                connection_uuid=str(uuid.UUID(self.key)),
                server="smtp",
            )
        )
        if response.body and not response.body.startswith(b"421 "):
            raise ModelError(f"{self} is over, and a late {event} was answered {response.body!r}")
