"""F12: the stack is told to end (SIGTERM) while clients send mail, again and again on the same stores."""

from __future__ import annotations

import enum
import signal
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import yaml

from tests.e2e.clients import RawClient
from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.clients import Clients, Log
from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.faults.stacks import Stack, Stores, running_stack, running_stores
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]

GRACE: Final = float(yaml.safe_load((ROOT / ".rr.yaml").read_text())["endure"]["grace_period"].removesuffix("s"))
"""Seconds that RoadRunner gives all its plugins for an orderly end."""

WORKERS, CLIENTS = 2, 8
STOPS, QUICK_STOPS = 10, 2

SOONEST, LATEST = 1.0, 3.0
"""Seconds of load before the signal."""

LATE: Final = 5.0
"""Seconds after the grace period by which even a stop that hangs must be over."""

CASE_LIMIT: Final = 900.0


class Before(enum.Enum):
    """What happened before the signal."""

    LOAD = "under load"
    KILLED_AND_ON = "an idle worker killed, then a few events"
    KILLED = "an idle worker killed, then no event"
    """The dead worker is still in RoadRunner's queue of free ones, beside its successor. Until an event takes it out,
    the pool (v1.1.3) counts one too many, and its stop waits for the right number until the grace period is over."""


@dataclass(slots=True)
class Stops:
    """What was seen.

    Attributes:
        before: what happened before each.
        codes: exit codes of the stack.
        seconds: from the signal to the end of everything.
    """

    before: Before
    codes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def cases(quick: bool) -> Sequence[Case]:
    """Ten stops on each store, or two on one; and some after an idle worker was killed."""
    stops = QUICK_STOPS if quick else STOPS
    lmdb, redis = ("lmdb", "sqlite"), ("redis", "redis")
    planned = [(*redis, Before.LOAD, stops), (*lmdb, Before.KILLED_AND_ON, stops // 2)]
    if not quick:
        planned = [(*lmdb, Before.LOAD, stops), *planned, (*lmdb, Before.KILLED, 1)]
    return [
        Case(f"sessions in {sessions}, {before.value}", partial(run, sessions, mails, before, count), CASE_LIMIT)
        for sessions, mails, before, count in planned
    ]


def run(sessions: str, mails: str, before: Before, stops: int, surroundings: Surroundings) -> Outcome:
    """One case: start, load, signal, as often as it says; then everything is counted."""
    seen, log, output = Stops(before), Log(), ""
    with running_stores(sessions, mails, surroundings.directory) as stores:
        for number in range(stops):
            surroundings.check()
            output += _stop(stores, seen, log, number, surroundings)
        return with_aftermath(*judge(seen), aftermath(stores, log, output))


def _stop(stores: Stores, seen: Stops, log: Log, number: int, surroundings: Surroundings) -> str:
    """One start and stop; the stack's log."""
    directory = surroundings.directory / f"stop-{number + 1}"
    directory.mkdir()
    random = Random(f"{surroundings.seed}-{number}")  # noqa: S311 - the same moments for the same seed
    with running_stack(stores, directory, workers=WORKERS, codes=(0, 1)) as stack:
        with Clients(stack.target.smtp, CLIENTS, surroundings.seed * 1000 + number, may_end=True) as clients:
            time.sleep(random.uniform(SOONEST, LATEST))
            if seen.before is Before.LOAD:
                _end(stack, seen)
        if seen.before is not Before.LOAD:  # all events are over
            _kill_idle(stack)
            if seen.before is Before.KILLED_AND_ON:
                _events(stack)
            _end(stack, seen)
        log.add(clients.log)
        surroundings.say(f"stop {number + 1}: exit code {seen.codes[-1]} after {seen.seconds[-1]:.1f} s")
        return stack.target.log()


def _end(stack: Stack, seen: Stops) -> None:
    began = time.monotonic()
    seen.codes.append(stack.target.stop(signal.SIGTERM))
    seen.seconds.append(time.monotonic() - began)


def _kill_idle(stack: Stack) -> None:
    wait_until(lambda: all(worker.status == "ready" for worker in stack.pool()), "workers without events")
    victim = max(stack.pool(), key=lambda worker: worker.executions)
    stack.kill(victim.pid)
    wait_until(lambda: stack.whole({victim.pid}), "a whole pool")


def _events(stack: Stack) -> None:
    """As many as there are entries in the queue of free workers, and one each for good measure."""
    with RawClient(stack.target.smtp) as client:
        client.reply()
        for _ in range(2 * WORKERS):
            assert client.command(b"NOOP")[:3] == b"250"


def judge(seen: Stops) -> tuple[dict[str, str], list[str]]:
    """The figures, and what does not hold."""
    findings = []
    hangs = seen.before is Before.KILLED  # it may
    if not hangs and (failed := [code for code in seen.codes if code]):
        findings.append(f"{len(failed)} of {len(seen.codes)} stops ended with exit code {failed[0]}")
    limit = GRACE + LATE if hangs else GRACE
    if late := [seconds for seconds in seen.seconds if seconds > limit]:
        findings.append(f"{len(late)} stops took longer than {limit:g} s: {max(late):.1f} s")
    figures = {
        "stops, of them with exit code 0": f"{len(seen.codes)}, {seen.codes.count(0)}",
        "signal to end, median and longest": f"{statistics.median(seen.seconds):.2f} s, {max(seen.seconds):.2f} s",
    }
    return figures, findings


FAULT: Final = Fault(
    id="F12",
    title="The stack is told to end under load (SIGTERM)",
    holds=(
        f"it ends with 0 within the grace period of {GRACE:g} s, or right after it with 1 where RoadRunner's pool "
        "counts a worker too many; every acknowledged mail is stored once, as sent, and no other in part; no session "
        "outlives its time"
    ),
    cases=cases,
)
