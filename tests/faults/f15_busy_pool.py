"""F15: all workers are busy for longer than an event may wait for one (`pool.allocate_timeout`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.e2e.clients import RawClient
from tests.e2e.targets import Address
from tests.faults import handlers
from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.bystanders import Bystanders
from tests.faults.clients import Clients, Log
from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.faults.ledger import Attempt
from tests.faults.stacks import Stack, running_stack, running_stores
from tests.faults.stalls import StalledMail
from tests.support.waiting import wait_until

WORKERS: Final = 2

ALLOCATE: Final = 10.0
"""Seconds of `allocate_timeout` here. That of .rr.yaml is 60 s, longer than any event may take (exec_ttl, 20 s), so
that only a queue of slow events makes others wait that long. Starting a worker has to take less, too."""

BUSY: Final = 15.0
"""Seconds that every worker has one event."""

EXEC_TTL: Final = 60.0
"""Seconds: no event is to be ended for being slow, on a busy machine neither."""

PATIENCE: Final = 3.0
"""Seconds before its end at which others come, who wait less than `ALLOCATE`."""

SLACK: Final = 5.0
"""Seconds that a busy machine adds."""

OF_EACH, BYSTANDERS = 10, 5
"""Connections that ask for something, new ones, and such that only wait."""

ROUNDS, QUICK_ROUNDS = 3, 1

LOG_LINE: Final = "no free workers in the pool"
"""What RoadRunner's log says of an event that found no worker."""

CASE_LIMIT: Final = 300.0


@dataclass(slots=True)
class Busy:
    """What was seen.

    Attributes:
        dropped: seconds after which a connection ended that had asked for something too early.
        served: seconds after which one was answered that had come late enough.
        answers: to the former, of which there must be none, and to the latter, what is no answer.
        logged: events that found no worker, as RoadRunner's log tells.
    """

    dropped: list[float] = field(default_factory=list)
    served: list[float] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    logged: int = 0


def cases(quick: bool) -> Sequence[Case]:
    """Three times on each store, or once on one."""
    return [
        Case(f"sessions in {sessions}", partial(run, sessions, mails, QUICK_ROUNDS if quick else ROUNDS), CASE_LIMIT)
        for sessions, mails in (("lmdb", "sqlite"), ("redis", "redis"))[: 1 if quick else None]
    ]


def run(sessions: str, mails: str, rounds: int, surroundings: Surroundings) -> Outcome:
    """One case: all workers are made busy, and others come meanwhile."""
    directory, seed, busy = surroundings.directory, surroundings.seed, Busy()
    overrides = [f"tcp.pool.allocate_timeout={ALLOCATE:g}s", f"tcp.pool.supervisor.exec_ttl={EXEC_TTL:g}s"]
    with running_stores(sessions, mails, directory) as stores:
        with running_stack(
            stores, directory, workers=WORKERS, env=handlers.setting(BUSY), overrides=overrides
        ) as stack:
            log, slow = Log(), list[Attempt]()
            with Bystanders(stack, BYSTANDERS, seed) as bystanders:
                for number in range(rounds):
                    surroundings.check()
                    slow += _overload(stack, busy, number)
                    surroundings.say(f"round {number + 1}: {len(busy.dropped)} dropped, {len(busy.served)} served")
                log.add(bystanders.finish())
            with Clients(stack.target.smtp, WORKERS, seed) as clients:  # it goes on as if nothing had been
                wait_until(lambda: clients.log.connections > 2 * WORKERS, "some mails afterwards")
            log.add(clients.log)
        output = stack.target.log()
        busy.logged = output.count(LOG_LINE)
        log.attempts += slow
        log.findings += [f"a slow mail was answered {mail.reply!r}" for mail in slow if not mail.acknowledged]
        return with_aftermath(*judge(busy), aftermath(stores, log, output))


def _overload(stack: Stack, busy: Busy, number: int) -> list[Attempt]:
    """Everybody comes at once, and the patient ones a while later."""
    address = stack.target.smtp
    with ExitStack() as connections, ThreadPoolExecutor(4 * OF_EACH) as threads:
        early, late = ([connections.enter_context(RawClient(address)) for _ in range(OF_EACH)] for _ in range(2))
        assert all(client.reply()[:3] == b"220" for client in (*early, *late))
        slow = [
            connections.enter_context(StalledMail(address, f"{handlers.IS_SLOW}{number}-{worker}@example.test"))
            for worker in range(WORKERS)
        ]
        wait_until(lambda: [worker.status for worker in stack.pool()] == ["working"] * WORKERS, "busy workers")
        dropped = [threads.submit(_ask, partial(_command, client)) for client in early]
        dropped += [threads.submit(_ask, partial(_greeting, address)) for _ in range(OF_EACH)]
        time.sleep(max(0.0, slow[0].began + BUSY - PATIENCE - time.monotonic()))
        served = [threads.submit(_ask, partial(_command, client)) for client in late]
        served += [threads.submit(_ask, partial(_greeting, address)) for _ in range(OF_EACH)]
        for asked, seconds, fits in (
            (dropped, busy.dropped, lambda reply: not reply),
            (served, busy.served, lambda reply: reply[:1] == b"2"),
        ):
            for reply, taken in (each.result() for each in asked):
                seconds.append(taken)
                busy.answers += [] if fits(reply) else [f"{reply!r} after {taken:.1f} s"]
        for mail in slow:
            mail.end()
    return [mail.attempt for mail in slow]


def _ask(question: Callable[[], bytes]) -> tuple[bytes, float]:
    """The answer, empty when the connection ended without one, and the seconds until then."""
    began = time.monotonic()
    try:
        answer = question()
    except ConnectionError:
        answer = b""
    return answer, time.monotonic() - began


def _command(client: RawClient) -> bytes:
    return client.command(b"NOOP")


def _greeting(address: Address) -> bytes:
    with RawClient(address) as client:
        return client.reply()


def judge(busy: Busy) -> tuple[dict[str, str], list[str]]:
    """The figures, and what does not hold."""
    findings = [f"wrongly answered: {answer}" for answer in busy.answers]
    if not ALLOCATE <= min(busy.dropped) <= max(busy.dropped) <= ALLOCATE + SLACK:
        findings.append(f"dropped after {_range(busy.dropped)}, not at allocate_timeout")
    if busy.logged != len(busy.dropped):
        findings.append(f"{len(busy.dropped)} connections were dropped, and the log tells of {busy.logged} events")
    figures = {
        "asked too early: dropped, after": f"{len(busy.dropped)}, {_range(busy.dropped)}",
        "told in RoadRunner's log": str(busy.logged),
        "asked later: served, after": f"{len(busy.served)}, {_range(busy.served)}",
    }
    return figures, findings


def _range(seconds: Sequence[float]) -> str:
    return f"{min(seconds):.1f} to {max(seconds):.1f} s"


FAULT: Final = Fault(
    id="F15",
    title=f"All workers are busy for longer than allocate_timeout ({ALLOCATE:g} s here)",
    holds=(
        "events that wait that long end their connections, without a reply, and RoadRunner's log counts them; those "
        "that wait less are served; connections that only wait go on; every acknowledged mail is stored once, as sent"
    ),
    cases=cases,
)
