"""F6: hundreds of clients hold connections that they do not use, or use just enough to seem alive.

What that does to a healthy client is told by another one, of a second stack of the same kind that has no other clients:
both ask at the same time, so whatever else the machine does meanwhile is in both answers. Processor time that the crowd
takes is as well; the answers before and after the crowd, which have that difference and the machine's moods, are
reported beside it.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from rr_tcp.renewals import PART
from rr_tcp.sockets import open_connections
from rr_tcp.stateful import TOMBSTONE_TTL
from rr_tcp.stores import open_store
from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.clients import Clients
from tests.faults.crowd import Crowd, Kind
from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.faults.leftovers import count_keys
from tests.faults.pulse import Pulse, p99
from tests.faults.stacks import running_stack, running_stores
from tests.support.waiting import wait_until

WORKERS: Final = 2

CLIENTS: Final = 500
KINDS: Final = (Kind.SILENT, Kind.BYTES, Kind.SILENT, Kind.NOOP)
"""In turns: half are silent, a quarter sends bytes, a quarter commands."""

IDLE, AGE = 10, 40
QUICK_IDLE, QUICK_AGE = 8, 24
"""Seconds: the limits that the stack is given."""

INTERVAL: Final = 1
"""Seconds between two rounds of the reaper here."""

SLACK: Final = 8.0
"""Seconds by which a busy machine, and closing hundreds of connections one after the other, may be late."""

WINDOW: Final = 3.0
"""Seconds of a healthy client's answers, some hundreds, that are looked at together."""

WINDOWS: Final = 3
"""Windows before the crowd comes, and again after it went."""

MOST_RATIO: Final = 2.0

CASE_LIMIT: Final = 600.0


@dataclass(slots=True)
class Held:
    """What was seen.

    Attributes:
        limits: seconds of idle time and of age.
        lasted: how long the connections of each kind were open; None for one that never ended.
        without: the 99th percentiles of the healthy clients' windows without the crowd, seconds.
        beside: the same beside it, from its last greeting until its last connection ended.
        twin: the same at the same time, of the stack that has no crowd.
        answers: how many answers those are of.
        open: sessions of open connections in the end.
        keys: what was left in the store when the tombstones' time was over; None where that was not waited for.
        established: connections that the kernel had on the service's port before, with the crowd, and after it.
        findings: what happened to the healthy clients.
    """

    limits: tuple[float, float]
    lasted: Mapping[Kind, Sequence[float | None]] = field(default_factory=dict)
    without: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    twin: list[float] = field(default_factory=list)
    answers: int = 0
    open: int = 0
    keys: int | None = None
    established: tuple[int, int, int] = (0, 0, 0)
    findings: list[str] = field(default_factory=list)


def cases(quick: bool) -> Sequence[Case]:
    """On LMDB and on Redis; the quick one has shorter limits and does not wait for the tombstones' end."""
    return [
        Case(f"sessions in {sessions}", partial(run, sessions, mails, quick), CASE_LIMIT, alone=True)
        for sessions, mails in (("lmdb", "sqlite"), ("redis", "redis"))[: 1 if quick else None]
    ]


def run(sessions: str, mails: str, quick: bool, surroundings: Surroundings) -> Outcome:
    """One case: healthy clients without a crowd, with it, and without it again."""
    directory = surroundings.directory
    idle, age = (QUICK_IDLE, QUICK_AGE) if quick else (IDLE, AGE)
    env = {"SMTP_IDLE_LIMIT": str(idle), "SMTP_AGE_LIMIT": str(age), "REAPER_INTERVAL": str(INTERVAL)}
    held = Held((idle, age))
    (directory / "twin").mkdir()
    with running_stores(sessions, mails, directory) as stores:
        with (
            running_stores(sessions, mails, directory / "twin") as other,
            running_stack(other, directory / "twin", workers=WORKERS, env=env) as twin,
            running_stack(stores, directory, workers=WORKERS, env=env) as stack,
        ):

            def listen(windows: list[float], alongside: list[float] | None = None) -> None:
                """A window of healthy clients of both stacks, whose connections end before their age."""
                surroundings.check()
                with Pulse(stack.target.smtp) as pulse, Pulse(twin.target.smtp) as control:
                    time.sleep(WINDOW)
                for answers, percentiles in ((pulse, windows), (control, alongside)):
                    seconds = answers.seconds(0.0, time.monotonic())
                    held.answers += len(seconds)
                    held.findings += answers.findings
                    if percentiles is not None:
                        percentiles.append(p99(seconds))

            port = stack.target.smtp.port
            before = open_connections([port])[port]
            for _ in range(WINDOWS):
                listen(held.without)
            with Crowd(stack.target.smtp, [KINDS[number % len(KINDS)] for number in range(CLIENTS)]) as crowd:
                crowded = open_connections([port])[port]
                surroundings.say(f"{crowd.left} connections are held")
                until = time.monotonic() + age + SLACK
                while crowd.left and time.monotonic() < until:
                    listen(held.beside, held.twin)
                    surroundings.say(f"{crowd.left} connections are left")
                held.lasted = {kind: crowd.lasted(kind) for kind in Kind}
            for _ in range(WINDOWS):
                listen(held.without)
            with Clients(stack.target.smtp, WORKERS, surroundings.seed) as clients:  # as if nothing had been
                wait_until(lambda: clients.log.connections > 2 * WORKERS, "some mails afterwards")
            held.established = before, crowded, _settled(lambda: open_connections([port])[port], before)
            held.open = _settled(lambda: _open_sessions(stores.sessions), 0)
            if not quick:
                surroundings.say("waiting for the end of all tombstones")
                held.keys = _settled(lambda: count_keys(stores.sessions), 0, TOMBSTONE_TTL + SLACK)
        after = aftermath(stores, clients.log, stack.target.log())
    return with_aftermath(*judge(held), after)


def _settled(look: Callable[[], int], wanted: int, timeout: float = SLACK) -> int:
    """What is seen in the end: no more than is wanted, or whatever it is when the time is over."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: look() <= wanted, timeout=timeout)
    return look()


def _open_sessions(url: str) -> int:
    with contextlib.closing(open_store(url)) as store:
        page = store.scan()
        count = len(page.sessions)
        while page.cursor:
            page = store.scan(page.cursor)
            count += len(page.sessions)
    return count


def judge(held: Held) -> tuple[dict[str, str], list[str]]:
    """The figures, and what does not hold."""
    idle, age = held.limits
    late = idle * PART + INTERVAL + SLACK
    expected = {Kind.SILENT: (idle, idle + late), Kind.BYTES: (idle, idle + late), Kind.NOOP: (age, age + late)}
    findings = [*held.findings]
    for kind, (least, most) in expected.items():
        ended = [seconds for seconds in held.lasted[kind] if seconds is not None]
        if still := len(held.lasted[kind]) - len(ended):
            findings.append(f"{still} connections ({kind}) were never closed")
        if wrong := [seconds for seconds in ended if not least <= seconds <= most]:
            findings.append(
                f"{len(wrong)} connections ({kind}) were closed after {min(wrong):.1f} to {max(wrong):.1f} s, not "
                f"{least:g} to {most:g}"
            )
    ratio = statistics.median(beside / twin for beside, twin in zip(held.beside, held.twin, strict=True))
    if ratio > MOST_RATIO:
        findings.append(f"the healthy clients' p99 beside the crowd is {ratio:.2f} times that without it")
    if held.open:
        findings.append(f"{held.open} sessions of open connections are left")
    if held.keys:
        findings.append(f"{held.keys} keys are left in the session store after the tombstones' time")
    before, _, after = held.established
    if after > before:
        findings.append(f"the server has {after} connections, before it had {before}")
    return {
        "limits: idle, age": f"{idle:g} s, {age:g} s",
        "connections held": f"{sum(map(len, held.lasted.values())):,}",
        **{f"closed after: {kind}": _span(held.lasted[kind]) for kind in Kind},
        "healthy clients' p99 beside it, and at the same time without": f"{_medians(held.beside, held.twin)}",
        "ratio (median of windows)": f"{ratio:.2f}",
        "the worst window of each": f"{max(held.beside) * 1e3:.1f} ms, {max(held.twin) * 1e3:.1f} ms",
        "p99 before it came and after it went": f"{_medians(held.without)}",
        "answers, windows": f"{held.answers:,}, {len(held.beside)} and {len(held.without)}",
        "established on the port before, with, after": ", ".join(map(str, held.established)),
        "sessions open, keys in the end": f"{held.open}, {'not waited for' if held.keys is None else held.keys}",
    }, findings


def _medians(*windows: Sequence[float]) -> str:
    return ", ".join(f"{statistics.median(seconds) * 1e3:.1f} ms" for seconds in windows)


def _span(lasted: Sequence[float | None]) -> str:
    ended = [seconds for seconds in lasted if seconds is not None]
    return f"{min(ended):.1f} to {max(ended):.1f} s" if ended else "never"


FAULT: Final = Fault(
    id="F6",
    title=f"{CLIENTS} clients hold connections that they do not use, or trickle bytes or commands",
    holds=(
        "each is closed at its limit and none before; a healthy client's p99 is within twice of what it is without "
        "them; no session of theirs is left, nor in the end any key"
    ),
    cases=cases,
)
