"""F1: workers are killed at random moments, in every state that SMTP has, while clients send mail."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.bystanders import Bystanders
from tests.faults.clients import Clients, Log
from tests.faults.fault import Case, Fault, FaultError, Outcome, Surroundings, median_and_longest
from tests.faults.stacks import Stack, running_stack, running_stores

CLIENTS: Final = 8

BYSTANDERS: Final = 25
"""Connections that wait in the middle of a text all the time, and must be able to go on."""

KILLS, QUICK_KILLS = 200, 10

PAUSE: Final = 0.5
"""Seconds between a pool that is whole again and the next kill at most."""

BURST: Final = 0.1
"""Part of the moments in which all workers are killed at once."""

BUSY: Final = 0.7
"""Part of the moments in which a worker is taken that has an event."""

NEWBORN: Final = 0.1
"""Part of the moments in which the successor is killed too, while it starts."""

NEWBORN_AGE: Final = 0.4
"""Seconds of life that such a successor has at most; starting takes about as long."""

LOOKS: Final = 100
"""Looks at the pool, a millisecond or two each, until some worker has an event."""

BROKEN_PER_KILL: Final = 2
"""Connections: the one whose event the worker had, and one that was handed to it before RoadRunner missed it."""

WHOLE_TIMEOUT: Final = 60.0
"""Seconds until the pool must be whole again. What it takes, under two by far, is reported; this bound is for machines
that have better things to do."""

SLOW: Final = 2.0
"""Seconds from which on that is worth a line of progress."""

CASE_LIMIT: Final = 3600.0

# Session store, mail store, workers. Each store is in one of them, so that each sees all kills.
COMBINATIONS: Final = (("lmdb", "sqlite", 2), ("redis", "redis", 3), ("rrkv", "maildir", 4))


@dataclass(slots=True)
class Storm:
    """What was done to a pool.

    Attributes:
        kills: workers that were killed.
        busy: those of them that had an event, as far as RoadRunner knew.
        starting: those of them that were successors of others, and hardly more than started.
        whole_after: seconds until the pool was whole again, for each moment in which workers were killed.
        late_after: the same for moments in which a successor was killed as well.
    """

    kills: int = 0
    busy: int = 0
    starting: int = 0
    whole_after: list[float] = field(default_factory=list)
    late_after: list[float] = field(default_factory=list)


def cases(quick: bool) -> Sequence[Case]:
    """200 kills on each combination, or 10."""
    kills = QUICK_KILLS if quick else KILLS
    return [
        Case(
            f"sessions in {sessions}, mails in {mails}, {workers} workers",
            partial(run, sessions, mails, workers, kills),
            CASE_LIMIT,
        )
        for sessions, mails, workers in COMBINATIONS
    ]


def run(sessions: str, mails: str, workers: int, kills: int, surroundings: Surroundings) -> Outcome:
    """One case: clients and kills together, then everything is counted."""
    directory, seed = surroundings.directory, surroundings.seed
    with running_stores(sessions, mails, directory) as stores:
        with running_stack(stores, directory, workers=workers) as stack:
            with Bystanders(stack, BYSTANDERS, seed) as bystanders:
                with Clients(stack.target.smtp, CLIENTS, seed) as clients:
                    storm = kill(stack, clients, kills, surroundings)
                log, waited = clients.log, bystanders.finish()
            log.add(waited)
        surroundings.say("the stack ended with 0; reading all mails back")
        return judge(storm, aftermath(stores, log, stack.target.log()), log.broken.total(), waited)


def kill(stack: Stack, clients: Clients, kills: int, surroundings: Surroundings) -> Storm:
    """Kills workers at random moments, each time waiting until the pool is whole again."""
    random, storm, reported = Random(surroundings.seed), Storm(), 0  # noqa: S311 - the same moments for the same seed
    _wait_whole(stack, set(), surroundings)
    while storm.kills < kills:
        surroundings.pause(random.uniform(0, PAUSE))
        before, victims = stack.children(), _victims(stack, random, storm)
        for pid in victims:
            stack.kill(pid)
        times = storm.whole_after
        if random.random() < NEWBORN:
            newborn = _newborn(stack, before, random, surroundings)
            stack.kill(newborn)
            victims.add(newborn)
            storm.starting += 1
            times = storm.late_after
        times.append(_wait_whole(stack, victims, surroundings))
        storm.kills += len(victims)
        if storm.kills // 10 > reported:
            reported = storm.kills // 10
            log = clients.log
            surroundings.say(
                f"{storm.kills} kills of {kills}, {len(log.attempts):,} mails tried, {log.broken.total()} of "
                f"{log.connections:,} connections broken"
            )
    return storm


def _victims(stack: Stack, random: Random, storm: Storm) -> set[int]:
    """One worker, or all; the pool is whole."""
    hunt, every = random.random() < BUSY, random.random() < BURST
    for _ in range(LOOKS if hunt else 1):
        pool = stack.pool()
        if busy := [worker.pid for worker in pool if worker.status == "working"]:
            break
    pids = [worker.pid for worker in pool]
    victims = set(pids) if every else {random.choice(busy if hunt and busy else pids)}
    storm.busy += len(victims.intersection(busy))
    return victims


def _newborn(stack: Stack, before: set[int], random: Random, surroundings: Surroundings) -> int:
    while not (newborns := stack.children() - before):
        surroundings.check()
        time.sleep(0.001)
    surroundings.pause(random.uniform(0, NEWBORN_AGE))
    return random.choice(sorted(newborns))


def _wait_whole(stack: Stack, without: set[int], surroundings: Surroundings) -> float:
    """Waits for a whole pool; returns the seconds that it took."""
    began = time.monotonic()
    while not stack.whole(without):
        surroundings.check()
        if time.monotonic() - began > WHOLE_TIMEOUT:
            raise FaultError(f"the pool is not whole again {WHOLE_TIMEOUT:g} s after workers were killed")
        time.sleep(0.01)
    seconds = time.monotonic() - began
    if seconds > SLOW:
        surroundings.say(f"the pool is whole again after {seconds:.2f} s; killed were {sorted(without)}")
    return seconds


def judge(storm: Storm, after: Outcome, broken: int, waited: Log) -> Outcome:
    """What must hold for workers that are killed.

    Args:
        storm: what was done.
        after: what was found afterwards.
        broken: how many connections broke.
        waited: what those went through that waited all the time.
    """
    findings = []
    if broken > BROKEN_PER_KILL * storm.kills:
        findings.append(f"{storm.kills} kills broke {broken} connections, more than {BROKEN_PER_KILL} each")
    figures = {
        "kills (busy, starting)": f"{storm.kills} ({storm.busy}, {storm.starting})",
        "broken, per kill": f"{broken}, {broken / storm.kills:.2f}",
        "waited in mid-text all the time, of them lost": f"{waited.connections}, {len(waited.findings)}",
        "pool whole again, median and longest": median_and_longest(storm.whole_after),
        "the same, a successor killed too": median_and_longest(storm.late_after),
    }
    return with_aftermath(figures, findings, after)


FAULT: Final = Fault(
    id="F1",
    title="Workers are killed (SIGKILL) at random moments under load",
    holds=(
        "every acknowledged mail is stored once, with its bytes and envelope; no other mail more than once, and none "
        "in part; at most two connections break per kill, and none that waits; the pool is whole again; no session "
        "outlives its time; the stack ends with 0"
    ),
    cases=cases,
)
