"""F11: the pool is reset again and again (new code) while clients send mail."""

from __future__ import annotations

import re
import subprocess
import sys
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
from tests.faults.pulse import Pulse
from tests.faults.stacks import Stack, running_stack, running_stores

WORKERS: Final = 3
CLIENTS, BYSTANDERS = 6, 20
RESETS, QUICK_RESETS = 20, 4

PAUSE: Final = 1.0
"""Seconds between two resets at most."""

RESET_TIMEOUT: Final = 120.0
"""Seconds for a call of `rr-tcp reset`, above what it takes itself."""

CASE_LIMIT: Final = 600.0


@dataclass(slots=True)
class Resets:
    """What was seen.

    Attributes:
        paused: seconds without an event, as `rr-tcp reset` tells them.
        waited: the longest that a client waited for an answer, for each reset.
        kept: pids of workers that a reset did not replace.
    """

    paused: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)


def cases(quick: bool) -> Sequence[Case]:
    """20 resets on each store, or 4 on one."""
    resets = QUICK_RESETS if quick else RESETS
    return [
        Case(f"sessions in {sessions}", partial(run, sessions, mails, resets), CASE_LIMIT)
        for sessions, mails in (("redis", "redis"), ("lmdb", "sqlite"), ("rrkv", "maildir"))[: 1 if quick else None]
    ]


def run(sessions: str, mails: str, resets: int, surroundings: Surroundings) -> Outcome:
    """One case: clients and resets together, then everything is counted."""
    directory, seed, seen = surroundings.directory, surroundings.seed, Resets()
    random = Random(seed)  # noqa: S311 - the same moments for the same seed
    with running_stores(sessions, mails, directory) as stores:
        with running_stack(stores, directory, workers=WORKERS) as stack:
            address = stack.target.smtp
            with Bystanders(stack, BYSTANDERS, seed) as bystanders:
                with Pulse(address) as pulse, Clients(address, CLIENTS, seed) as clients:
                    for _ in range(resets):
                        surroundings.pause(random.uniform(0, PAUSE))
                        _reset(stack, pulse, seen)
                    surroundings.say(f"{resets} resets, {len(clients.log.attempts):,} mails tried")
                log, waited = clients.log, bystanders.finish()
            log.add(waited)
            log.findings += pulse.findings
        return with_aftermath(*judge(seen, log), aftermath(stores, log, stack.target.log()))


def _reset(stack: Stack, pulse: Pulse, seen: Resets) -> None:
    before, began = {worker.pid for worker in stack.pool()}, time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "rr_tcp", "reset", "--rpc", stack.target.rpc_address],
        capture_output=True,
        text=True,
        timeout=RESET_TIMEOUT,
        check=False,
    )
    paused = re.search(r"no event was handled for ([\d.]+) s", done.stdout)
    if done.returncode != 0 or paused is None:
        raise FaultError(f"rr-tcp reset ended with {done.returncode}: {done.stderr or done.stdout}")
    seen.paused.append(float(paused[1]))
    seen.waited.append(max(pulse.seconds(began, time.monotonic()), default=0.0))
    seen.kept += before.intersection(worker.pid for worker in stack.pool())


def judge(seen: Resets, log: Log) -> tuple[dict[str, str], list[str]]:
    """The figures, and what does not hold."""
    findings = [f"the reset did not replace the workers {seen.kept}"] if seen.kept else []
    findings += [
        f"{count} connections broke while waiting for the reply to {what}" for what, count in log.broken.items()
    ]
    figures = {
        "resets, workers that stayed": f"{len(seen.paused)}, {len(seen.kept)}",
        "pause as rr-tcp reset tells it, median and longest": median_and_longest(seen.paused),
        "longest wait of a client in a reset, median and longest": median_and_longest(seen.waited),
    }
    return figures, findings


FAULT: Final = Fault(
    id="F11",
    title="The pool is reset under load (`rr-tcp reset`)",
    holds=(
        "no connection breaks; every worker is another; every acknowledged mail is stored once, as sent; no session "
        "outlives its time; the stack ends with 0"
    ),
    cases=cases,
)
