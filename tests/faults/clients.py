"""SMTP clients that talk to a stack while something is done to it, and write down what they were told."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
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

PIECE_REST: Final = 0.01
"""Seconds between two pieces at most: long enough for the server to hand over the first before it sees the second."""


@dataclass(slots=True)
class Log:
    """What clients went through.

    Attributes:
        connections: how many were opened.
        attempts: the mails that they tried to send.
        broken: connections that ended before they should, by what was waited for.
        findings: what no client may see: a reply that does not fit, or none though the connection stands.
    """

    connections: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def add(self, other: Log) -> None:
        """Adds what other clients went through."""
        self.connections += other.connections
        self.attempts += other.attempts
        self.broken += other.broken
        self.findings += other.findings


class _BrokenError(Exception):
    """The connection ended while `args[0]` was waited for."""


class _UnfitError(Exception):
    """What was answered, or was not, is no answer to what was sent; `args[0]` says how."""


class Clients:
    """A number of clients, each with one connection after the other, from the block's begin to its end.

    Args:
        address: the SMTP service.
        count: how many at the same time.
        seed: of what they send.
        rest: seconds between two connections of a client at most.
        may_end: whether the service may go away meanwhile. Then a connection that cannot be opened is a broken one.
    """

    def __init__(self, address: Address, count: int, seed: int, *, rest: float = REST, may_end: bool = False) -> None:
        self._address = address
        self._rest = rest
        self._may_end = may_end
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
            log.connections += 1
            log.attempts += dialogue.attempts
            try:
                _converse(self._address, dialogue, random)
            except _BrokenError as broken:
                log.broken[broken.args[0]] += 1
            except _UnfitError as unfit:
                log.findings.append(f"connection {name}-{log.connections - 1}: {unfit}")
            except OSError as error:  # the connection could not be opened
                if self._may_end:
                    log.broken["connection"] += 1
                else:
                    log.findings.append(f"connection {name}-{log.connections - 1}: {error}")
            self._stop.wait(random.uniform(0, self._rest))


def _converse(address: Address, dialogue: Dialogue, random: Random) -> None:
    with RawClient(address) as client:
        for step in dialogue.steps:
            _send(client, step, random)
            for expected in step.expected:
                _expect(client, expected)
        if dialogue.quits and (rest := _rest(client)):
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


def _expect(client: RawClient, expected: Expected) -> None:
    try:
        reply = client.reply()
    except ConnectionError:
        reply = b""
    except TimeoutError:
        raise _UnfitError(f"no reply to {expected.what}, and no end of the connection") from None
    if not reply.endswith(b"\r\n"):
        raise _BrokenError(expected.what)
    if expected.attempt is not None:
        expected.attempt.reply = reply
    if reply[:3] != expected.code:
        raise _UnfitError(f"{expected.what} was answered {reply!r}")


def _rest(client: RawClient) -> bytes:
    try:
        return client.rest()
    except ConnectionError:
        return b""
    except TimeoutError:
        raise _UnfitError("no end of the connection after the reply to QUIT") from None
