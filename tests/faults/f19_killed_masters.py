"""F19: masters of a Redis Cluster, which has sessions and mail, are killed under load."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Final

from rr_tcp.app import SESSION_TTL
from services.smtp.mailstore.redis_scripts import PREFIX
from tests.faults.aftermath import judge as judge_aftermath
from tests.faults.fault import Case, Fault, FaultError, Outcome, Surroundings
from tests.faults.hardship import RECOVERY, Hardship, Probe, judge, under_load
from tests.faults.ledger import Audit, audit, read_mails
from tests.faults.leftovers import Leftovers, leftovers
from tests.faults.redis_stacks import DURABLE
from tests.faults.stacks import Stores, running_stack
from tests.support.redis_cluster import NODE_TIMEOUT, RedisClusterServers, running_cluster

CLIENTS: Final = 20

WORKERS: Final = 4

KILLS, QUICK_KILLS = 6, 2

UP, DOWN = 1.5, 1.0
"""Seconds at most from a stack that accepts mail to the next kill, and from the kill to the start."""

TAKES_OVER: Final = 15.0
"""Seconds after a master's death until mail must be accepted by its replica: the others wait `NODE_TIMEOUT`, then hold
an election, and again if nobody wins it."""

SETTLES: Final = 60.0
"""Seconds until the cluster is whole, with all replicas, before the next master is killed."""

CASE_LIMIT: Final = 600.0

CODES: Final = ("421", "451")


@dataclass(frozen=True, slots=True)
class Setting:
    """How a cluster is set up.

    Attributes:
        name: of the case.
        replicas: of each master; with any, one takes over. Without, the master is started again.
        waits: how many of them must have a write before it counts.
    """

    name: str
    replicas: int
    waits: int


SETTINGS: Final = (
    Setting("started again", replicas=0, waits=0),
    Setting("one of two replicas takes over, replicas=1", replicas=2, waits=1),
    Setting("its only replica takes over, nothing waits for it", replicas=1, waits=0),
)
"""Who waits for one replica needs two: the one that takes over has none but the other. Of the last setting Redis
promises nothing: what is lost is measured."""


def cases(quick: bool) -> Sequence[Case]:
    """Six kills of the master that has the mail, and of others, in each setting; or two in the first two."""
    kills, settings = (QUICK_KILLS, SETTINGS[:2]) if quick else (KILLS, SETTINGS)
    return [Case(setting.name, partial(run, setting, kills), CASE_LIMIT) for setting in settings]


def run(setting: Setting, kills: int, surroundings: Surroundings) -> Outcome:
    """One case: clients and kills together, then everything is counted."""
    directory = surroundings.directory
    with running_cluster(directory, *DURABLE, "always", replicas=setting.replicas) as servers:
        stores = Stores(*(f"{servers.url}/?replicas={setting.waits}",) * 2)
        with (
            running_stack(stores, directory, workers=WORKERS) as stack,
            under_load(stack, CLIENTS, surroundings) as (hardship, probe),
        ):
            kill(servers, setting, hardship, probe, kills, surroundings)
        result = audit(hardship.log.attempts, read_mails(stores.mails))
        left = leftovers(stores.sessions, SESSION_TTL)
    return outcome(setting, hardship, result, left, stack.target.log())


def kill(
    servers: RedisClusterServers,
    setting: Setting,
    hardship: Hardship,
    probe: Probe,
    kills: int,
    surroundings: Surroundings,
) -> None:
    """Kills masters at random moments, each time until mail is accepted and the cluster is whole again."""
    random = Random(surroundings.seed)  # noqa: S311 - the same moments for the same seed
    while hardship.times < kills:
        surroundings.pause(random.uniform(0, UP))
        master = servers.master_of(PREFIX)
        master.stop()
        if setting.replicas:
            hardship.recovered_after.append(probe.until_accepted(surroundings))
            master.start()
        else:
            surroundings.pause(random.uniform(0, DOWN))
            probe.accepted()  # it must be told so, and not hang
            master.start()
            hardship.recovered_after.append(probe.until_accepted(surroundings))
        _settle(servers, surroundings)
        hardship.times += 1
        surroundings.say(f"{hardship.times} kills of {kills}, mail again after {hardship.recovered_after[-1]:.2f} s")


def _settle(servers: RedisClusterServers, surroundings: Surroundings) -> None:
    began = time.monotonic()
    while not servers.settled():
        surroundings.check()
        if time.monotonic() - began > SETTLES:
            raise FaultError(f"the cluster is not whole {SETTLES:g} s after the node was started again")
        time.sleep(0.05)


def outcome(setting: Setting, hardship: Hardship, result: Audit, left: Leftovers, output: str) -> Outcome:
    """What must hold; where replicas take over and nothing waits for them, what did not hold is a figure."""
    promised = not setting.replicas or setting.waits > 0
    broken = [*result.findings, *hardship.log.findings]
    if not promised:
        result, hardship = replace(result, findings=[]), replace(hardship, log=replace(hardship.log, findings=[]))
    after = judge_aftermath(hardship.log, result, left, output)
    judged = judge(hardship, after, codes=CODES, recovery=TAKES_OVER if setting.replicas else RECOVERY)
    figures = dict(judged.figures)
    if not promised:
        figures["lost, doubled, changed"] = "; ".join(broken) or "none, by luck"
    return Outcome(figures, judged.findings)


FAULT: Final = Fault(
    id="F19",
    title="the master of a Redis Cluster that has all mail and a third of the sessions is killed (SIGKILL) under load",
    holds=(
        "every acknowledged mail is stored once, with its bytes and envelope, where the master is started again with "
        "its append-only file, and where a replica takes over and writes wait for one; clients are told 421 or 451, "
        f"and none waits in vain; a mail is accepted within {RECOVERY:g} s after the master is there again, or within "
        f"{TAKES_OVER:g} s of its death by a replica (cluster-node-timeout {NODE_TIMEOUT:g} s), by the same workers"
    ),
    cases=cases,
)
