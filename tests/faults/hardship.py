"""Clients that go on while the stores behind the stack are in trouble, and what must hold for them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from tests.e2e.targets import Address
from tests.faults.aftermath import with_aftermath
from tests.faults.clients import TEMPORARY, Clients, Log, talk
from tests.faults.dialogues import make_mail
from tests.faults.fault import FaultError, Outcome, Surroundings, median_and_longest
from tests.faults.stacks import Stack

RECOVERY: Final = 5.0
"""Seconds after a store is itself again until a mail must be accepted, on a machine that does little else; see
`patience`."""

BUSY: Final = 4.0
"""Processes for each processor that run or wait, from which on a machine is taken to do much else: a case has fewer."""

RECOVERY_TIMEOUT: Final = 30.0
"""Seconds after which a case gives that up."""

LONGEST_WAIT: Final = 25.0
"""Seconds for any one reply: no client may wait for RoadRunner to kill a worker (`exec_ttl`, 20 s) and longer."""


class Probe:
    """One client beside all others, that sends a small mail at a time and waits after every command.

    It must always get a reply: what it is told may be a temporary refusal, but no connection of it may just break.

    Args:
        address: the SMTP service.
        seed: of what it sends.
    """

    def __init__(self, address: Address, seed: int) -> None:
        self._address = address
        self._name = f"s{seed}-probe"
        self._random = Random(self._name)  # noqa: S311 - the same mails for the same seed
        self.log = Log()

    def accepted(self) -> bool:
        """Tries to send a mail."""
        name = f"{self._name}-{self.log.connections}"
        text = self._random.randbytes(400).hex().encode() + b"\r\n"
        dialogue = make_mail(self._random, name, text)
        talk(self._address, dialogue, self._random, self.log, TEMPORARY)
        return dialogue.attempts[0].acknowledged

    def until_accepted(self, surroundings: Surroundings) -> float:
        """Tries until a mail is accepted; returns the seconds that it took."""
        began = time.monotonic()
        while not self.accepted():
            surroundings.check()
            if self.log.findings:
                raise FaultError(f"the probe met what no client may: {self.log.findings[0]}")
            if time.monotonic() - began > RECOVERY_TIMEOUT:
                raise FaultError(f"no mail is accepted {RECOVERY_TIMEOUT:g} s after the store is itself again")
        return time.monotonic() - began

    def until_refused(self, surroundings: Surroundings) -> None:
        """Tries until a mail is refused: until the trouble is felt."""
        while self.accepted():
            surroundings.check()


@dataclass(slots=True)
class Hardship:
    """What a stack and its clients went through.

    Attributes:
        times: how often trouble came.
        recovered_after: seconds after each until a mail was accepted.
        log: of all clients; complete after the block.
        pids: of the workers before.
        pids_after: of the workers afterwards, when all clients had ended.
    """

    times: int = 0
    recovered_after: list[float] = field(default_factory=list)
    log: Log = field(default_factory=Log)
    pids: frozenset[int] = frozenset()
    pids_after: frozenset[int] = frozenset()


@contextlib.contextmanager
def under_load(stack: Stack, count: int, surroundings: Surroundings) -> Iterator[tuple[Hardship, Probe]]:
    """Clients that talk to a stack all the time of the block, in which it may have trouble with its stores."""
    hardship, probe = Hardship(pids=_pids(stack)), Probe(stack.target.smtp, surroundings.seed)
    probe.until_accepted(surroundings)
    try:
        with Clients(stack.target.smtp, count, surroundings.seed, tolerated=TEMPORARY) as clients:
            yield hardship, probe
        hardship.pids_after = _pids(stack)
    finally:
        hardship.log.add(clients.log)
        # Nothing but its stores is taken from a client that waits for each reply: it always gets one.
        probe.log.findings += [f"the probe's connection broke: {what}" for what in probe.log.broken]
        hardship.log.add(probe.log)


def _pids(stack: Stack) -> frozenset[int]:
    return frozenset(worker.pid for worker in stack.pool())


def patience() -> float:
    """How many times longer things may take on this machine at this moment: 1 unless it has much else to do."""
    return max(1.0, os.getloadavg()[0] / (BUSY * (os.cpu_count() or 1)))


def judge(hardship: Hardship, after: Outcome, *, codes: Collection[str], recovery: float = RECOVERY) -> Outcome:
    """What must hold whatever befell the stores.

    Args:
        hardship: what happened.
        after: what was found afterwards.
        codes: of the refusals of which one must have been given: without any, nothing was felt.
        recovery: seconds after which the stack must accept mail again.
    """
    log, findings = hardship.log, list[str]()
    if not any(log.refused[code] for code in codes):
        findings.append(f"nobody was told {' or '.join(codes)}: the fault was not felt")
    if slow := [seconds for seconds in hardship.recovered_after if seconds > recovery]:
        findings.append(f"{len(slow)} times no mail was accepted within {recovery:g} s, the slowest {max(slow):.1f} s")
    if log.longest > LONGEST_WAIT:
        findings.append(f"a reply took {log.longest:.1f} s, more than {LONGEST_WAIT:g} s")
    if lost := hardship.pids - hardship.pids_after:
        findings.append(f"{len(lost)} of {len(hardship.pids)} workers ended, which wait for nothing that long")
    refused = ", ".join(f"{code} {count:,}" for code, count in sorted(log.refused.items()))
    figures = {
        "times": str(hardship.times),
        "refused for now, by code": refused or "-",
        "longest wait for a reply": f"{log.longest:.2f} s",
        "mail is accepted again, median and longest": median_and_longest(hardship.recovered_after),
        "the longest that is allowed, with the machine as busy as it was": f"{recovery:.1f} s",
        "workers lost": str(len(lost)),
    }
    return with_aftermath(figures, findings, after)
