"""SMTP clients that talk to a stack while something is done to it, and write down what they were told."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Final, Self

from tests.e2e.clients import RawClient
from tests.e2e.targets import Address
from tests.faults.dialogues import Dialogue, Expected, Step, make_dialogue, pieces
from tests.faults.ledger import Attempt

REST: Final = 0.2
"""Seconds between two connections of a client at most: bounds the number of mails, not what happens to each."""

RESTS: Final = 0.3
"""Part of the pieces before which a client rests."""

TEMPORARY: Final = frozenset({b"421", b"451", b"452"})
"""What a client may be told instead while a store is in trouble: 421 to anything, the others to a mail's end."""

PIECE_REST: Final = 0.01
"""Seconds between two pieces at most: long enough for the server to hand over the first before it sees the second."""


@dataclass(slots=True)
class Log:
    """What clients went through.

    Attributes:
        connections: how many were opened.
        attempts: the mails that they tried to send.
        broken: connections that ended before they should, by what was waited for.
        refused: temporary refusals where those are tolerated, by their code.
        longest: seconds that the slowest reply took, or end of a connection instead of one.
        findings: what no client may see: a reply that does not fit, or none though the connection stands.
    """

    connections: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    findings: list[str] = field(default_factory=list)

    def add(self, other: Log) -> None:
        """Adds what other clients went through."""
        self.connections += other.connections
        self.attempts += other.attempts
        self.broken += other.broken
        self.refused += other.refused
        self.longest = max(self.longest, other.longest)
        self.findings += other.findings


class _BrokenError(Exception):
    """The connection ended while `args[0]` was waited for."""


class _UnfitError(Exception):
    """What was answered, or was not, is no answer to what was sent; `args[0]` says how."""


class _EndedError(Exception):
    """The server said that it ends the connection for now (421), and did."""


class Clients:
    """A number of clients, each with one connection after the other, from the block's begin to its end.

    Args:
        address: the SMTP service.
        count: how many at the same time.
        seed: of what they send.
        rest: seconds between two connections of a client at most.
        may_end: whether the service may go away meanwhile. Then a connection that cannot be opened is a broken one.
        tolerated: codes of temporary refusals that are no findings.
    """

    def __init__(
        self,
        address: Address,
        count: int,
        seed: int,
        *,
        rest: float = REST,
        may_end: bool = False,
        tolerated: Collection[bytes] = (),
    ) -> None:
        self._address = address
        self._rest = rest
        self._may_end = may_end
        self._tolerated = tolerated
        self._stop = threading.Event()
        self._seed = seed
        self._logs = [Log() for _ in range(count)]
        self._threads = ThreadPoolExecutor(count)
        self._clients: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._clients = [
            self._threads.submit(self._run, log, f"s{self._seed}-c{number}") for number, log in enumerate(self._logs)
        ]
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Lets every client end its dialogue; raises what a client could not cope with."""
        self._stop.set()
        self._threads.shutdown()
        for client in self._clients:
            client.result()

    @property
    def log(self) -> Log:
        """What all of them went through so far; complete after the block."""
        total = Log()
        for log in self._logs:
            total.add(log)
        return total

    def _run(self, log: Log, name: str) -> None:
        random = Random(name)  # noqa: S311 - the same dialogues for the same seed
        while not self._stop.is_set():
            dialogue = make_dialogue(random, f"{name}-{log.connections}")
            try:
                talk(self._address, dialogue, random, log, self._tolerated)
            except OSError as error:  # the connection could not be opened
                if self._may_end:
                    log.broken["connection"] += 1
                else:
                    log.findings.append(f"the connection of {dialogue.name}: {error}")
            self._stop.wait(random.uniform(0, self._rest))


def talk(address: Address, dialogue: Dialogue, random: Random, log: Log, tolerated: Collection[bytes] = ()) -> None:
    """Has one connection, and adds to the log what came of it.

    Raises:
        OSError: it could not be opened.
    """
    log.connections += 1
    log.attempts += dialogue.attempts
    try:
        _converse(address, dialogue, random, log, tolerated)
    except _EndedError:
        pass  # counted
    except _BrokenError as broken:
        log.broken[broken.args[0]] += 1
    except _UnfitError as unfit:
        log.findings.append(f"the connection of {dialogue.name}: {unfit}")


def _converse(address: Address, dialogue: Dialogue, random: Random, log: Log, tolerated: Collection[bytes]) -> None:
    with RawClient(address) as client:
        for step in dialogue.steps:
            _send(client, step, random)
            for expected in step.expected:
                _expect(client, expected, log, tolerated)
        if dialogue.quits and (rest := _rest(client, "QUIT")):
            raise _UnfitError(f"{rest[:80]!r} after the reply to QUIT")


def _send(client: RawClient, step: Step, random: Random) -> None:
    """Sends a step; a connection that broke is found when its replies are read, of which some may have come."""
    try:
        for piece in _paced(step, random):
            client.send(piece)
    except ConnectionError:
        if not step.expected:
            raise _BrokenError("abandoned text") from None


def _paced(step: Step, random: Random) -> Iterator[bytes]:
    """The pieces of a step, some after a rest; each mail is marked as sent before its last byte leaves."""
    sent = 0
    for piece in pieces(random, step.data):
        if random.random() < RESTS:
            time.sleep(random.uniform(0, PIECE_REST))
        sent += len(piece)
        for end, attempt in step.ends:
            attempt.sent = attempt.sent or end <= sent
        yield piece


def _expect(client: RawClient, expected: Expected, log: Log, tolerated: Collection[bytes]) -> None:
    began = time.monotonic()
    try:
        reply = client.reply()
    except ConnectionError:
        reply = b""
    except TimeoutError:
        raise _UnfitError(f"no reply to {expected.what}, and no end of the connection") from None
    log.longest = max(log.longest, time.monotonic() - began)
    if not reply.endswith(b"\r\n"):
        raise _BrokenError(expected.what)
    if expected.attempt is not None:
        expected.attempt.reply = reply
    if (code := reply[:3]) == expected.code:
        return
    if code not in tolerated or (code != _ENDS and expected.attempt is None):
        raise _UnfitError(f"{expected.what} was answered {reply!r}")
    log.refused[code.decode()] += 1
    if code == _ENDS:
        if rest := _rest(client, "421"):
            raise _UnfitError(f"{rest[:80]!r} after {reply!r}")
        raise _EndedError


def _rest(client: RawClient, after: str) -> bytes:
    try:
        return client.rest()
    except ConnectionError:
        return b""
    except TimeoutError:
        raise _UnfitError(f"no end of the connection after {after}") from None


_ENDS: Final = b"421"
