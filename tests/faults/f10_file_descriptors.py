"""F10: RoadRunner runs out of file descriptors under load, which ends a listener for good while the server lives on."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rr_tcp.cli.watchdog import GRACE
from rr_tcp.watchdog import PATIENCE
from tests.e2e.clients import RawClient
from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.clients import Clients, Log
from tests.faults.fault import Case, Fault, FaultError, Outcome, Surroundings
from tests.faults.stacks import Stack, Stores, open_files, running_stack, running_stores
from tests.support.waiting import wait_until

WORKERS, CLIENTS = 2, 6

SPARE: Final = 20
"""File descriptors that the server may still open once it is limited."""

HOLDERS: Final = 2 * SPARE
"""Connections that take them, and then do nothing."""

BEFORE: Final = 50
"""Mails that are tried before, and again in the end."""

LONGEST: Final = PATIENCE + GRACE
"""Seconds until the server must have ended at the latest."""

SAID: Final = "nobody accepts connections on port"
"""What the watchdog says before it ends the server."""

CASE_LIMIT: Final = 300.0


@dataclass(frozen=True, slots=True)
class Exhaustion:
    """What was seen.

    Attributes:
        code: exit code of `make run`'s program.
        output: its log.
        noticed: seconds from the last file descriptor to the watchdog's word.
        ended: seconds from there to the end of the server and its program.
        restarted: seconds until the next one was ready.
    """

    code: int
    output: str
    noticed: float
    ended: float
    restarted: float


def cases(quick: bool) -> Sequence[Case]:
    """Once on each store; the short choice has one of them."""
    return [
        Case(f"sessions in {sessions}", partial(run, sessions, mails), CASE_LIMIT)
        for sessions, mails in (("lmdb", "sqlite"), ("redis", "redis"))[: 1 if quick else None]
    ]


def run(sessions: str, mails: str, surroundings: Surroundings) -> Outcome:
    """One case: the stack runs out of file descriptors, ends, and is started again on the same stores."""
    directory, log = surroundings.directory, Log()
    again = directory / "again"
    again.mkdir()
    with running_stores(sessions, mails, directory) as stores:
        code, output, noticed, ended = _exhaust(stores, log, surroundings)
        surroundings.say(f"ended {ended:.1f} s after it was told to, with exit code {code}; starting again")
        began = time.monotonic()
        with running_stack(stores, again, workers=WORKERS) as stack:
            seen = Exhaustion(code, output, noticed, ended, restarted=time.monotonic() - began)
            _load(stack, surroundings.seed + 1, log)
        return with_aftermath(*judge(seen), aftermath(stores, log, output + stack.target.log()))


def _load(stack: Stack, seed: int, log: Log) -> None:
    with Clients(stack.target.smtp, CLIENTS, seed) as clients:
        wait_until(lambda: len(clients.log.attempts) > BEFORE, "some mails", timeout=60)
    log.add(clients.log)


def _exhaust(stores: Stores, log: Log, surroundings: Surroundings) -> tuple[int, str, float, float]:
    directory: Path = surroundings.directory
    with ExitStack() as holders, running_stack(stores, directory, workers=WORKERS, codes=(1,)) as stack:
        with Clients(stack.target.smtp, CLIENTS, surroundings.seed, may_end=True) as clients:
            wait_until(lambda: len(clients.log.attempts) > BEFORE, "some mails", timeout=60)
            limit = open_files(stack.server) + SPARE
            resource.prlimit(stack.server, resource.RLIMIT_NOFILE, (limit, limit))
            for _ in range(HOLDERS):
                holders.enter_context(RawClient(stack.target.smtp))
            _wait(lambda: "too many open files" in stack.target.log(), surroundings)
            exhausted = time.monotonic()
            surroundings.say(f"no file descriptor is left of {limit}, and a listener is gone")
            _wait(lambda: SAID in stack.target.log(), surroundings)
            said = time.monotonic()
            _wait(lambda: stack.target.ended() is not None, surroundings)
            ended = time.monotonic()
        log.add(clients.log)
        code = stack.target.ended()
        assert code is not None
        return code, stack.target.log(), said - exhausted, ended - said


def _wait(condition: Callable[[], bool], surroundings: Surroundings) -> None:
    deadline = time.monotonic() + LONGEST
    while not condition():
        surroundings.check()
        if time.monotonic() > deadline:
            raise FaultError(f"the stack has not come further in {LONGEST:g} s: a listener is gone, and nobody minds")
        time.sleep(0.05)


def judge(seen: Exhaustion) -> tuple[dict[str, str], list[str]]:
    """The figures, and what does not hold."""
    findings = []
    if seen.code != 1:
        findings.append(f"the stack ended with exit code {seen.code}, which nobody takes for an error")
    if "nobody here told it to" not in seen.output:
        findings.append("make run's program did not say that the server ended by itself")
    figures = {
        "last file descriptor taken to noticed": f"{seen.noticed:.1f} s",
        "noticed to the end of the server": f"{seen.ended:.1f} s",
        "start to ready": f"{seen.restarted:.1f} s",
        "without service, in all": f"{seen.noticed + seen.ended + seen.restarted:.1f} s",
    }
    return figures, findings


FAULT: Final = Fault(
    id="F10",
    title="RoadRunner runs out of file descriptors under load, which ends a listener for good",
    holds=(
        "the watchdog ends the server, with an exit code that says so, and what starts it again finds everything as it "
        "was: every acknowledged mail is stored once, as sent; no session outlives its time"
    ),
    cases=cases,
)
