"""F18: the stack runs under steady load for a while, and nothing of it grows: memory, file descriptors, sessions."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import lmdb
import redis

from rr_tcp.stateful import TOMBSTONE_TTL
from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.clients import Clients
from tests.faults.fault import Case, Fault, FaultError, Outcome, Surroundings
from tests.faults.stacks import Stack, Stores, mapped_memory, open_files, own_memory, running_stack, running_stores

WORKERS, CLIENTS = 2, 8

REST: Final = 1.5
"""Seconds between two connections of a client at most: some ten thousand mails in ten minutes."""

MINUTES: Final = 10.0
SECONDS, QUICK_SECONDS = 60 * MINUTES, 20.0

INTERVAL: Final = 2.0
"""Seconds between two samples."""

FEWEST: Final = 5
"""Samples without which nothing is shown."""

WARM_UP: Final = 0.3
"""Part of the time that is not counted: caches fill, and the largest mails come for the first time."""

SESSION_TTL: Final = 60
"""Seconds; short, so that sessions that nobody ended go during the run."""

MIB: Final = 2**20

TOLERATED: Final[Mapping[str, float]] = {
    "memory of a worker": 4 * MIB,
    "memory that a worker maps": 32 * MIB,
    "memory of RoadRunner": 24 * MIB,
    "files of a worker": 2,
    "files of RoadRunner": 30,
    "sessions": 200,
}
"""What may be added from the end of the warm-up to the end of the run, by the straight line through all samples. What a
worker maps is LMDB's file, which all share, and which grows until it has enough free pages. RoadRunner takes memory and
gives it back in steps of its garbage collector, and leaves to it the descriptors of connections that clients ended, and
one for each worker whenever it is asked for the list of workers, as it is for each sample here."""

CASE_LIMIT: Final = SECONDS + 600.0


@dataclass(slots=True)
class Soak:
    """What was seen.

    Attributes:
        seconds: when each sample was taken, from the begin on.
        samples: by what was measured, as many as there are `seconds`.
        pids: of all workers that were ever seen.
        left: sessions that were still there when their time was over, where the store tells; else None.
    """

    seconds: list[float] = field(default_factory=list)
    samples: dict[str, list[float]] = field(default_factory=lambda: {what: [] for what in TOLERATED})
    pids: set[int] = field(default_factory=set)
    left: int | None = None


def cases(quick: bool) -> Sequence[Case]:
    """Ten minutes on each store, both at the same time; or some seconds, which shows that it would be noticed."""
    return [
        Case(f"sessions in {sessions}", partial(run, sessions, mails, quick), CASE_LIMIT)
        for sessions, mails in (("lmdb", "sqlite"), ("redis", "redis"))
    ]


def run(sessions: str, mails: str, quick: bool, surroundings: Surroundings) -> Outcome:
    """One case: load and a look at everything now and then; in the end all must go."""
    directory, soak, limit = surroundings.directory, Soak(), QUICK_SECONDS if quick else SECONDS
    with running_stores(sessions, mails, directory) as stores:
        env = {"SESSION_TTL": str(SESSION_TTL)}
        with running_stack(stores, directory, workers=WORKERS, env=env) as stack:
            with Clients(stack.target.smtp, CLIENTS, surroundings.seed, rest=REST) as clients:
                _sample(stack, stores, limit, soak, surroundings, tried=lambda: len(clients.log.attempts))
            if not quick:
                soak.left = _wait_for_none(stores, surroundings)
        log = clients.log
        after = aftermath(stores, log, stack.target.log(), ttl=max(SESSION_TTL, TOMBSTONE_TTL))
        return with_aftermath(*judge(soak, len(log.broken), factor=3 if quick else 1), after)


def _sample(
    stack: Stack, stores: Stores, limit: float, soak: Soak, surroundings: Surroundings, tried: Callable[[], int]
) -> None:
    began, told = time.monotonic(), 0.0
    while (passed := time.monotonic() - began) < limit:
        surroundings.check()
        pids = [worker.pid for worker in stack.pool()]
        soak.pids.update(pids)
        soak.seconds.append(passed)
        for what, value in {
            "memory of a worker": max(map(own_memory, pids)),
            "memory that a worker maps": max(map(mapped_memory, pids)),
            "memory of RoadRunner": own_memory(stack.server),
            "files of a worker": max(map(open_files, pids)),
            "files of RoadRunner": open_files(stack.server),
            "sessions": count(stores.sessions),
        }.items():
            soak.samples[what].append(value)
        if passed - told >= 60:
            told = passed
            surroundings.say(f"{passed / 60:.0f} minutes, {tried():,} mails tried")
        time.sleep(INTERVAL)


def count(url: str) -> int:
    """The records or keys of a session store."""
    if urlsplit(url).scheme == "lmdb":
        with lmdb.open(str(Path(urlsplit(url).path)), readonly=True) as env:
            entries: int = env.stat()["entries"]
            return entries
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        return int(client.dbsize())


def _wait_for_none(stores: Stores, surroundings: Surroundings) -> int | None:
    """What Redis has when the time of all sessions is over; LMDB removes old records when new ones come."""
    if urlsplit(stores.sessions).scheme != "redis":
        return None
    until = time.monotonic() + SESSION_TTL + TOMBSTONE_TTL
    while (left := count(stores.sessions)) and time.monotonic() < until:
        surroundings.check()
        time.sleep(0.5)
    return left


def growth(seconds: Sequence[float], values: Sequence[float]) -> float:
    """What the straight line through the samples after the warm-up adds until the end."""
    first = next(index for index, second in enumerate(seconds) if second >= WARM_UP * seconds[-1])
    slope = statistics.linear_regression(seconds[first:], values[first:]).slope
    return slope * (seconds[-1] - seconds[first])


def judge(soak: Soak, broken: int, factor: float = 1) -> tuple[dict[str, str], list[str]]:
    """The figures, and what does not hold.

    Args:
        soak: what was seen.
        broken: connections that broke.
        factor: what the tolerances are multiplied by, for a run that is not over its warm-up.
    """
    if len(soak.seconds) < FEWEST:
        raise FaultError(f"only {len(soak.seconds)} samples in the whole time")
    findings = []
    figures = {"samples, seconds": f"{len(soak.seconds)}, {soak.seconds[-1]:.0f}"}
    for what, tolerated in TOLERATED.items():
        values = soak.samples[what]
        grown = growth(soak.seconds, values)
        unit, size = (" MiB", MIB) if what.startswith("memory") else ("", 1)
        median, most = statistics.median(values) / size, max(values) / size
        figures[f"{what}: median, most, growth"] = f"{median:,.0f}, {most:,.0f}, {grown / size:+,.1f}{unit}"
        if grown > factor * tolerated:
            findings.append(f"{what}: grew by {grown / size:,.1f}{unit}")
    if len(soak.pids) != WORKERS:
        findings.append(f"{len(soak.pids)} workers were seen, not the {WORKERS} of the begin: some ended")
    if soak.left:
        findings.append(f"{soak.left} sessions are left in the store though their time is over")
    if broken:
        findings.append(f"{broken} connections broke")
    if soak.left is not None:
        figures["sessions when their time was over"] = str(soak.left)
    return figures, findings


FAULT: Final = Fault(
    id="F18",
    title=f"Steady load for {MINUTES:g} minutes",
    holds=(
        "memory and file descriptors of RoadRunner and its workers do not grow, nor does the number of sessions; no "
        "worker ends, no connection breaks; every acknowledged mail is stored once, as sent; no session outlives its "
        "time"
    ),
    cases=cases,
)
