"""What is looked at after every fault: the mails, the sessions that are left, the log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rr_tcp.app import SESSION_TTL
from tests.faults.clients import Log
from tests.faults.fault import Outcome
from tests.faults.ledger import Audit, audit, read_mails
from tests.faults.leftovers import Leftovers, leftovers
from tests.faults.stacks import Stores


def aftermath(stores: Stores, log: Log, output: str, *, ttl: float = SESSION_TTL) -> Outcome:
    """Reads all mails back and looks for sessions that no time to live ends; nobody uses the stores any more.

    Args:
        stores: of the stack.
        log: what its clients went through.
        output: the stack's log.
        ttl: the longest time to live of a session, in seconds.
    """
    return judge(log, audit(log.attempts, read_mails(stores.mails)), leftovers(stores.sessions, ttl), output)


def judge(log: Log, result: Audit, left: Leftovers, output: str) -> Outcome:
    """The figures that every fault has, and what must not be after any."""
    findings = [*log.findings, *result.findings, *left.findings]
    if tracebacks := len(re.findall(r"Traceback \(most recent call last\)", output)):
        findings.append(f"{tracebacks} tracebacks in the stack's log")
    if not result.acknowledged:
        findings.append("no mail was acknowledged: nothing was tested")
    states = ", ".join(f"{what} {count}" for what, count in log.broken.most_common())
    return Outcome(
        figures={
            "mails acknowledged": f"{result.acknowledged:,}",
            "lost, doubled, changed": "none" if not result.findings else "see below",
            "unanswered, of them stored": f"{result.unanswered:,}, {result.unanswered_stored:,}",
            "refused for now, of them stored": f"{result.refused:,}, {result.refused_stored:,}",
            "connections, of them broken": f"{log.connections:,}, {log.broken.total():,}",
            "broken while waiting for the reply to": states or "-",
            "sessions at the end": left.figure,
        },
        findings=findings,
    )


def with_aftermath(figures: Mapping[str, str], findings: Sequence[str], after: Outcome) -> Outcome:
    """A fault's own figures and findings, and then those that every fault has."""
    return Outcome({**figures, **after.figures}, [*findings, *after.findings])
