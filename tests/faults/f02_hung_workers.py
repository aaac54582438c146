"""F2: handlers never return, one that waits and one that spins, while other clients send mail."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.faults import handlers
from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.bystanders import Bystanders
from tests.faults.clients import Clients
from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.faults.pulse import Pulse, p99
from tests.faults.stacks import Stack, running_stack, running_stores
from tests.faults.stalls import StalledMail
from tests.support.waiting import wait_until

WORKERS: Final = 4
"""Two hang at a time."""

CLIENTS, BYSTANDERS = 4, 10

EXEC_TTL, QUICK_EXEC_TTL = 20.0, 4.0
"""Seconds: that of .rr.yaml, and one for the short choice."""

LATE: Final = 10.0
"""Seconds after exec_ttl by which the connection must have ended: a tick or two of RoadRunner's supervisor, 1 s each,
and what a busy machine adds."""

RATIO: Final = 20.0
"""How much longer the slowest hundredth of the other clients' answers may take. Two of four workers are gone, and one
of them takes a processor; clients that had to wait for a hung worker would see hundreds."""

ROUNDS, QUICK_ROUNDS = 3, 1

CASE_LIMIT: Final = 600.0


@dataclass(slots=True)
class Hangs:
    """What was seen.

    Attributes:
        exec_ttl: of the pool, in seconds.
        seconds: from a mail's end to the end of its connection, for each.
        answered: replies to such mails, of which there must be none.
        alone: seconds of the other clients' answers while nothing hung.
        beside: the same while something did.
    """

    exec_ttl: float
    seconds: list[float] = field(default_factory=list)
    answered: list[bytes] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)


def cases(quick: bool) -> Sequence[Case]:
    """Three times two hung workers on each store, or once on one."""
    return [
        Case(f"sessions in {sessions}", partial(run, sessions, mails, quick), CASE_LIMIT, alone=not quick)
        for sessions, mails in (("redis", "redis"), ("lmdb", "sqlite"))[: 1 if quick else None]
    ]


def run(sessions: str, mails: str, quick: bool, surroundings: Surroundings) -> Outcome:
    """One case: a while without, and then with handlers that hang."""
    directory, seed = surroundings.directory, surroundings.seed
    hangs = Hangs(QUICK_EXEC_TTL if quick else EXEC_TTL)
    overrides = [f"tcp.pool.supervisor.exec_ttl={hangs.exec_ttl:g}s"]
    with running_stores(sessions, mails, directory) as stores:
        with running_stack(stores, directory, workers=WORKERS, env=handlers.setting(0), overrides=overrides) as stack:
            address = stack.target.smtp
            with Bystanders(stack, BYSTANDERS, seed) as bystanders:
                with Pulse(address) as pulse, Clients(address, CLIENTS, seed) as clients:
                    stalled = [
                        mail
                        for number in range(QUICK_ROUNDS if quick else ROUNDS)
                        for mail in _hang(stack, pulse, hangs, number, surroundings)
                    ]
                log, waited = clients.log, bystanders.finish()
            log.add(waited)
            log.findings += pulse.findings
            log.attempts += [mail.attempt for mail in stalled]
            log.findings += [f"{what} connections broke that had nothing to do with it" for what in _broken(log.broken)]
        return with_aftermath(*judge(hangs), aftermath(stores, log, stack.target.log()))


def _hang(stack: Stack, pulse: Pulse, hangs: Hangs, number: int, surroundings: Surroundings) -> list[StalledMail]:
    """As long without as with it, so that the two can be compared."""
    began = time.monotonic()
    surroundings.pause(hangs.exec_ttl)
    with ExitStack() as connections:
        before = time.monotonic()
        hangs.alone += pulse.seconds(began, before)
        mails = [
            connections.enter_context(StalledMail(stack.target.smtp, f"{how}{number}@example.test"))
            for how in (handlers.HANGS, handlers.SPINS)
        ]
        for mail in mails:
            hangs.seconds.append(mail.end())
            hangs.answered += [mail.attempt.reply] if mail.attempt.reply else []
        hangs.beside += pulse.seconds(before, time.monotonic())
    wait_until(lambda: stack.whole(()), "a whole pool")
    ended = ", ".join(f"{seconds:.1f} s" for seconds in hangs.seconds[-2:])
    surroundings.say(f"round {number + 1}: ended after {ended}")
    return mails


def _broken(broken: dict[str, int]) -> list[str]:
    return [f"{count} ({what})" for what, count in broken.items()]


def judge(hangs: Hangs) -> tuple[dict[str, str], list[str]]:
    """The figures, and what does not hold."""
    findings = [f"a mail whose handler never returned was answered {reply!r}" for reply in hangs.answered]
    if early := [seconds for seconds in hangs.seconds if seconds < hangs.exec_ttl]:
        findings.append(f"{len(early)} connections ended before exec_ttl: after {min(early):.1f} s")
    if (longest := max(hangs.seconds)) > hangs.exec_ttl + LATE:
        findings.append(f"a connection ended {longest:.1f} s after it hung, at an exec_ttl of {hangs.exec_ttl:g} s")
    ratio = p99(hangs.beside) / p99(hangs.alone)
    if ratio > RATIO:
        findings.append(f"the others' p99 was {ratio:.1f} times that without a hung worker")
    figures = {
        "handlers that never returned": str(len(hangs.seconds)),
        "exec_ttl, connection ended after": f"{hangs.exec_ttl:g} s, {min(hangs.seconds):.1f} to {longest:.1f} s",
        "the others' NOOP, p99 without and with": f"{_milliseconds(hangs.alone)}, {_milliseconds(hangs.beside)}",
        "ratio": f"{ratio:.1f}",
    }
    return figures, findings


def _milliseconds(seconds: Sequence[float]) -> str:
    return f"{1000 * p99(seconds):.0f} ms"


FAULT: Final = Fault(
    id="F2",
    title="Handlers never return: one that waits, one that spins",
    holds=(
        "exec_ttl ends each; no other connection breaks, and the slowest hundredth of their answers takes at most "
        f"{RATIO:g} times as long as without; every acknowledged mail is stored once, as sent; no session outlives its "
        "time; the stack ends with 0"
    ),
    cases=cases,
)
