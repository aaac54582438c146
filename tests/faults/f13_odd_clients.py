"""F13: clients that half-close, reset, speak TLS or HTTP to a plain port, send NULs, or name 10,000 recipients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

from tests.faults import oddities
from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.bystanders import Bystanders
from tests.faults.clients import Clients
from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.faults.ledger import Attempt
from tests.faults.oddities import ODDITIES, Oddity
from tests.faults.stacks import Stack, running_stack, running_stores

WORKERS, CLIENTS, BYSTANDERS = 2, 4, 10

TIMES, QUICK_TIMES = 50, 5
"""Connections of each kind."""

MANY, QUICK_MANY = 5, 1
"""Of those with 10,000 recipients."""

AT_ONCE: Final = 8

CASE_LIMIT: Final = 600.0


@dataclass(slots=True)
class Odd:
    """What was seen.

    Attributes:
        kinds: how many connections there were of each kind.
        wrong: those that were answered in another way than they must be.
        attempts: mails that were tried on them.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    attempts: list[Attempt] = field(default_factory=list)


def cases(quick: bool) -> Sequence[Case]:
    """Fifty of each kind on each store, or five on one."""
    return [
        Case(f"sessions in {sessions}", partial(run, sessions, mails, quick), CASE_LIMIT)
        for sessions, mails in (("redis", "redis"), ("lmdb", "sqlite"))[: 1 if quick else None]
    ]


def run(sessions: str, mails: str, quick: bool, surroundings: Surroundings) -> Outcome:
    """One case: odd clients beside those that keep to the protocol."""
    directory, seed = surroundings.directory, surroundings.seed
    with running_stores(sessions, mails, directory) as stores:
        with running_stack(stores, directory, workers=WORKERS) as stack:
            pids = {worker.pid for worker in stack.pool()}
            with Bystanders(stack, BYSTANDERS, seed) as bystanders:
                with Clients(stack.target.smtp, CLIENTS, seed) as clients:
                    odd = _odd(stack, quick, surroundings)
                log = clients.log
                broken = log.broken.copy()
                log.add(bystanders.finish())
            lost = pids - {worker.pid for worker in stack.pool()}
        log.attempts += odd.attempts
        return with_aftermath(*judge(odd, broken, lost), aftermath(stores, log, stack.target.log()))


def _odd(stack: Stack, quick: bool, surroundings: Surroundings) -> Odd:
    """All kinds, mixed, some at a time."""
    odd, address, seed = Odd(), stack.target.smtp, surroundings.seed
    times = QUICK_TIMES if quick else TIMES
    with ThreadPoolExecutor(AT_ONCE) as threads:
        asked = [(oddity, threads.submit(oddities.have, address, oddity)) for _ in range(times) for oddity in ODDITIES]
        reset = [
            threads.submit(oddities.reset, address, f"s{seed}-reset-{number}", Random(seed + number))  # noqa: S311 - the same for the same seed
            for number in range(times)
        ]
        many = [
            threads.submit(oddities.with_many_recipients, address, f"s{seed}-many-{number}")
            for number in range(QUICK_MANY if quick else MANY)
        ]
        for oddity, had in asked:
            surroundings.check()
            note(odd, oddity, had.result())
        odd.attempts += [each.result() for each in reset]
        odd.kinds["reset (RST) anywhere in a mail"] = len(reset)
        for attempt, problems in (each.result() for each in many):
            odd.attempts.append(attempt)
            odd.kinds["10,000 recipients"] += 1
            odd.wrong.update(problems)
    surroundings.say(f"{odd.kinds.total()} odd connections")
    return odd


def note(odd: Odd, oddity: Oddity, codes: Sequence[str]) -> None:
    """Adds a connection, and whether its replies were right."""
    odd.kinds[oddity.name] += 1
    if list(codes) != list(oddity.codes):
        odd.wrong[f"{oddity.name} was answered {' '.join(codes)}, not {' '.join(oddity.codes)}"] += 1


def judge(odd: Odd, broken: Counter[str], lost: set[int]) -> tuple[dict[str, str], list[str]]:
    """The figures, and what does not hold."""
    findings = [f"{count} times: {what}" for what, count in odd.wrong.items()]
    findings += [f"{count} connections that kept to the protocol broke ({what})" for what, count in broken.items()]
    if lost:
        findings.append(f"{len(lost)} workers ended")
    if unanswered := [attempt for attempt in odd.attempts if "many" in attempt.mail_from and not attempt.acknowledged]:
        findings.append(f"{len(unanswered)} mails with too many recipients were not accepted for those it may have")
    figures = {
        "odd connections": ", ".join(f"{what} {count}" for what, count in odd.kinds.items()),
        "answered wrongly": str(odd.wrong.total()),
        "workers lost": str(len(lost)),
    }
    return figures, findings


FAULT: Final = Fault(
    id="F13",
    title="Clients half-close, reset, speak TLS or HTTP to a plain port, send NULs, name 10,000 recipients",
    holds=(
        "each gets the replies that it must, to the letter; no worker ends, no other connection breaks; every "
        "acknowledged mail is stored once, as sent, and no other in part; no session outlives its time"
    ),
    cases=cases,
)
