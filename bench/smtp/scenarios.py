"""What the clients do, and one measurement with the load generator."""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bench.errors import BenchError

KB, MB = 1024, 1024 * 1024

_GRACE: Final = 90.0
"""Seconds that a measurement may take on top of its time: the load generator gives up on a reply well before."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the clients do.

    Attributes:
        size: bytes of a mail's text.
        clients: at the same time.
        pipelined: they send commands in groups (RFC 2920), instead of waiting for each one's reply.
        reconnect: each mail has a connection of its own, instead of a client keeping its connection.
        limit: mails after which a measurement ends in any case.
    """

    size: int
    clients: int
    pipelined: bool = False
    reconnect: bool = False
    limit: int = 1_000_000

    @property
    def manner(self) -> str:
        """How they send."""
        return f"{'pipelined' if self.pipelined else 'plain'}, {'reconnecting' if self.reconnect else 'kept'}"

    @property
    def title(self) -> str:
        """All of it, for people."""
        return f"{size_title(self.size)}, {self.clients} {'client' if self.clients == 1 else 'clients'}, {self.manner}"


def size_title(size: int) -> str:
    """Bytes for people."""
    return f"{size // MB} MB" if size >= MB else f"{size // KB} kB"


# The limits bound what a turn writes to the disk and, with a Redis mail store, keeps in memory. Of reconnecting clients
# they also bound the ports of one client address that wait in TIME_WAIT for a minute.
_MOST: Final = {4 * KB: 5000, 100 * KB: 400}
_MOST_CONNECTIONS: Final = 2000

SCENARIOS: Final = tuple(
    Scenario(size, clients, pipelined, reconnect, min(_MOST[size], _MOST_CONNECTIONS) if reconnect else _MOST[size])
    for size, reconnect, pipelined, clients in itertools.product(_MOST, (False, True), (False, True), (1, 16, 64))
)
"""What is measured for speed."""

BIG: Final = tuple(Scenario(size * MB, 1, limit=limit) for size, limit in ((1, 8), (10, 2), (50, 1)))
"""What is measured for memory, and for time in proportion to the size."""


@dataclass(frozen=True, slots=True)
class Target:
    """A ratio to the baseline that the service is to reach.

    Attributes:
        scenario: in which.
        ratio: at least.
    """

    scenario: Scenario
    ratio: float


def _scenario(**wanted: object) -> Scenario:
    (found,) = (each for each in SCENARIOS if all(getattr(each, name) == value for name, value in wanted.items()))
    return found


TARGETS: Final = (
    Target(_scenario(size=4 * KB, clients=16, pipelined=True, reconnect=False), 2.0),
    Target(_scenario(size=4 * KB, clients=16, pipelined=False, reconnect=False), 1.0),
    Target(_scenario(size=4 * KB, clients=16, pipelined=False, reconnect=True), 1.0),
)


class Load(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the load generator says: `result` of bench/smtp_load/main.go.

    Attributes:
        mails: acknowledged in the measured time.
        seconds: that they took.
        acknowledged: all, with those before the measured time.
        size: bytes of each mail's text.
        sha256: of it, hexadecimal.
    """

    mails: int
    seconds: float
    acknowledged: int
    size: int
    sha256: str


def measure(program: Path, scenario: Scenario, port: int, *, seconds: float, run: int = 0) -> Load:
    """Has the clients send their mails.

    Args:
        program: the load generator.
        scenario: what they do.
        port: of the server, on 127.0.0.1.
        seconds: after which the clients stop, unless the scenario's limit did that before.
        run: a number that the senders' addresses contain.

    Raises:
        BenchError: a reply was wrong or missing.
    """
    command = [str(program), "-address", f"127.0.0.1:{port}", "-clients", str(scenario.clients), "-run", str(run)]
    command += ["-size", str(scenario.size), "-seconds", str(seconds), "-limit", str(scenario.limit)]
    command += ["-pipelined"] * scenario.pipelined + ["-reconnect"] * scenario.reconnect
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds + _GRACE, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"the load generator did not end in {seconds + _GRACE:g} s") from error
    if done.returncode:
        raise BenchError(done.stderr.decode(errors="replace").strip())
    return msgspec.json.decode(done.stdout, type=Load)
