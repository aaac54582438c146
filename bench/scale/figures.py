"""What was measured, what follows from it, and the tables."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

GIB, KIB = 1024**3, 1024

_NOTABLE: Final = 0.05
"""Calls per mail from which on a command is worth a word; what else there is is housekeeping."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a stack while connections are open.

    Attributes:
        state: what the connections have said.
        connections: how many were open at each look.
        parts: bytes at each look (Pss, which counts shared pages once), by whose they are.
    """

    state: str
    connections: Sequence[int]
    parts: Mapping[str, Sequence[int]]

    def per_connection(self, part: str) -> float:
        """Bytes: the slope of the straight line that fits best."""
        return max(0.0, statistics.linear_regression(self.connections, self.parts[part]).slope)

    @property
    def of_all(self) -> float:
        """Bytes per connection of everything."""
        return sum(self.per_connection(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class StoreWork:
    """What a store's Redis had to do for each mail.

    Attributes:
        calls: of each command, also within a script or a transaction (INFO commandstats).
        reads: from sockets (INFO stats): round trips, where a request fits into one.
        received: bytes.
    """

    calls: Mapping[str, float]
    reads: float
    received: float

    @property
    def total(self) -> float:
        """Commands per mail."""
        return sum(self.calls.values())


@dataclass(frozen=True, slots=True)
class MailWork:
    """What a mail took.

    Attributes:
        title: how the clients sent it.
        mails: how many were sent.
        rate: mails per second, with the clients on the same machine.
        cpu: seconds of processor time per mail, of server, workers and Redis.
        cpu_redis: seconds of that which were Redis's.
        sessions: the session store's work.
        stored: the mail store's work.
    """

    title: str
    mails: int
    rate: float
    cpu: float
    cpu_redis: float
    sessions: StoreWork
    stored: StoreWork


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What no measurement says.

    Attributes:
        core_hour: price of a core for an hour.
        gib_hour: price of a GiB of memory for an hour.
        busy: part of the time that machines are kept busy; the rest is for peaks and failures.
        at_once: connections that are open for each mail per second, or seconds that a mail's connection stays.
    """

    core_hour: float = 0.04
    gib_hour: float = 0.005
    busy: float = 0.5
    at_once: float = 2.0

    def per_million(self, mail: MailWork, memory: float) -> float:
        """What a million mails cost.

        Args:
            mail: what one takes.
            memory: bytes of one connection.
        """
        core_hours = mail.cpu * 1e6 / 3600 / self.busy
        gib_hours = self.at_once * memory / GIB * 1e6 / 3600 / self.busy
        return core_hours * self.core_hour + gib_hours * self.gib_hour


def markdown(memories: Sequence[Memory], mails: Sequence[MailWork], assumed: Assumptions, *, load: float) -> str:
    """All tables, with what they were measured on."""
    machine = (
        f"The load average before the run was {load:.1f}. {os.cpu_count()} cores, the clients included; 2 workers; "
        f"{platform.python_implementation()} {platform.python_version()}; {platform.system()} {platform.machine()}."
    )
    return (
        "\n\n".join([_memory(memories), _mails(mails), _commands(mails), _computed(memories, mails, assumed), machine])
        + "\n"
    )


def _memory(memories: Sequence[Memory]) -> str:
    parts = list(memories[0].parts)
    rows = [["memory per connection that has", *parts, "all", "connections per GiB"]]
    for memory in memories:
        each = [f"{memory.per_connection(part) / KIB:,.1f} KiB" for part in parts]
        rows.append([memory.state, *each, f"{memory.of_all / KIB:,.1f} KiB", f"{GIB / memory.of_all:,.0f}"])
    return _table(rows)


def _mails(mails: Sequence[MailWork]) -> str:
    rows = [["mails of", "mails per second", "processor time per mail", "of it Redis's", "mails per core and second"]]
    rows += [
        [
            mail.title,
            f"{mail.rate:,.0f}",
            f"{mail.cpu * 1000:.2f} ms",
            f"{mail.cpu_redis * 1000:.2f} ms",
            f"{1 / mail.cpu:,.0f}",
        ]
        for mail in mails
    ]
    return _table(rows)


def _commands(mails: Sequence[MailWork]) -> str:
    rows = [["per mail", "store", "commands", "reads", "bytes in", "which commands"]]
    for mail in mails:
        for name, work in (("sessions", mail.sessions), ("mails", mail.stored)):
            which = ", ".join(
                f"{command} {calls:.1f}"
                for command, calls in sorted(work.calls.items(), key=lambda call: -call[1])
                if calls >= _NOTABLE
            )
            rows.append([mail.title, name, f"{work.total:.1f}", f"{work.reads:.1f}", f"{work.received:,.0f}", which])
    return _table(rows)


def _computed(memories: Sequence[Memory], mails: Sequence[MailWork], assumed: Assumptions) -> str:
    memory = memories[-1].of_all
    rows = [
        ["1,000 mails per second of", "cores", "commands per second, sessions", "the same, mails", "a million cost"]
    ]
    rows += [
        [
            mail.title,
            f"{mail.cpu * 1000 / assumed.busy:.1f}",
            f"{mail.sessions.total * 1000:,.0f}",
            f"{mail.stored.total * 1000:,.0f}",
            f"{assumed.per_million(mail, memory):.2f}",
        ]
        for mail in mails
    ]
    note = (
        f"Assumed: {assumed.core_hour:g} for a core and {assumed.gib_hour:g} for a GiB of memory an hour, machines "
        f"that are busy {assumed.busy:.0%} of the time, and a connection of {assumed.at_once:g} s for each mail."
    )
    return f"{_table(rows)}\n\n{note}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
