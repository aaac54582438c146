"""F3: the Redis behind the stack is killed under load, and comes back with what its append-only file has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Final

from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.bystanders import Bystanders
from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.faults.hardship import RECOVERY, Hardship, Probe, judge, patience, under_load
from tests.faults.redis_stacks import PLACES, running_redis_stores
from tests.faults.stacks import running_stack
from tests.support.servers import RedisServer

CLIENTS: Final = 50

BYSTANDERS: Final = 25
"""More connections, that wait in the middle of a text all the time and must be able to go on."""

WORKERS: Final = 4

KILLS, QUICK_KILLS = 10, 2

UP, DOWN = 1.5, 1.0
"""Seconds at most from a stack that accepts mail to the next kill, and from the kill to the start."""

CASE_LIMIT: Final = 300.0

CODES: Final = ("421", "451")


def cases(quick: bool) -> Sequence[Case]:
    """Ten kills of the Redis for sessions, of that for mails, and of one for both; or two of the last."""
    kills, places = (QUICK_KILLS, PLACES[-1:]) if quick else (KILLS, PLACES)
    return [Case(f"{place} in it", partial(run, place, kills), CASE_LIMIT, alone=not quick) for place in places]


def run(place: str, kills: int, surroundings: Surroundings) -> Outcome:
    """One case: clients and kills together, then everything is counted."""
    directory, seed = surroundings.directory, surroundings.seed
    with running_redis_stores(place, directory) as redis:
        with (
            running_stack(redis.direct, directory, workers=WORKERS) as stack,
            Bystanders(stack, BYSTANDERS, seed) as bystanders,
        ):
            with under_load(stack, CLIENTS, surroundings) as (hardship, probe):
                kill(redis.server, hardship, probe, kills, surroundings)
            waited = bystanders.finish()
        hardship.log.add(waited)
        outcome = judge(
            hardship,
            aftermath(redis.direct, hardship.log, stack.target.log()),
            codes=CODES,
            recovery=RECOVERY * patience(),
        )
    figures = {"waited in mid-text all the time, of them lost": f"{waited.connections}, {len(waited.findings)}"}
    return with_aftermath(figures, [], outcome)


def kill(server: RedisServer, hardship: Hardship, probe: Probe, kills: int, surroundings: Surroundings) -> None:
    """Kills and starts a server at random moments, each time waiting until mail is accepted again."""
    random = Random(surroundings.seed)  # noqa: S311 - the same moments for the same seed
    while hardship.times < kills:
        surroundings.pause(random.uniform(0, UP))
        server.stop()
        surroundings.pause(random.uniform(0, DOWN))
        probe.accepted()  # it must be told so, and not hang
        server.start()
        hardship.recovered_after.append(probe.until_accepted(surroundings))
        hardship.times += 1
        surroundings.say(f"{hardship.times} kills of {kills}, up again after {hardship.recovered_after[-1]:.2f} s")


FAULT: Final = Fault(
    id="F3",
    title="Redis is killed (SIGKILL) under load, and started again",
    holds=(
        "every acknowledged mail is stored once, with its bytes and envelope; clients are told 421 or 451, and none "
        "waits in vain; the one that waits after every command always gets a reply; a mail is accepted within 5 s "
        "(longer on a machine that does much else) after Redis answers again, by the same workers; "
        "connections that only waited go on"
    ),
    cases=cases,
)
