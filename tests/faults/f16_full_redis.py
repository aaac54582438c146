"""F16: the Redis behind the stack has no memory left, under load, and then has some again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Final

from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.bystanders import Bystanders
from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.faults.hardship import RECOVERY, Hardship, Probe, judge, patience, under_load
from tests.faults.redis_stacks import running_redis_stores
from tests.faults.stacks import running_stack
from tests.support.waiting import wait_until

CLIENTS: Final = 16

BYSTANDERS: Final = 25
"""More connections, that wait in the middle of a text all the time and must be able to go on."""

WORKERS: Final = 4

EPISODES, QUICK_EPISODES = 4, 1

ROOM: Final[Mapping[str, int]] = {"sessions": -100_000, "mails": 3_000_000}
"""Bytes that there are left when it begins. Mails fill theirs; what is kept of sessions comes and goes, so of that
there is too much already."""

FULL: Final = 2.0
"""Seconds at most that memory is full once that was felt."""

CODES: Final[Mapping[str, Sequence[str]]] = {"sessions": ("421",), "mails": ("452",)}
"""What clients are told, of which one at least must have been."""

CASE_LIMIT: Final = 300.0


def cases(quick: bool) -> Sequence[Case]:
    """Four times on the Redis for sessions and on that for mails, or once on that for mails."""
    if quick:
        return [Case("mails in it", partial(run, "mails", QUICK_EPISODES), CASE_LIMIT)]
    return [Case(f"{place} in it", partial(run, place, EPISODES), CASE_LIMIT) for place in ROOM]


def run(place: str, episodes: int, surroundings: Surroundings) -> Outcome:
    """One case: clients and a server that fills up together, then everything is counted."""
    directory, seed = surroundings.directory, surroundings.seed
    with running_redis_stores(place, directory) as redis, redis.server.client() as client:
        with (
            running_stack(redis.direct, directory, workers=WORKERS) as stack,
            Bystanders(stack, BYSTANDERS, seed) as bystanders,
        ):
            with contextlib.ExitStack() as last:
                with under_load(stack, CLIENTS, surroundings) as (hardship, probe):
                    fill(client, place, hardship, probe, episodes, surroundings)
                    last.enter_context(full(client, ROOM[place]))
                    probe.until_refused(surroundings)
                # All clients have gone, and there is no memory yet: what ends takes its session with it all the same.
                if place == "sessions":
                    wait_until(lambda: live_sessions(client) <= BYSTANDERS, "the end of all sessions")
            waited = bystanders.finish()
        hardship.log.add(waited)
        outcome = judge(
            hardship,
            aftermath(redis.direct, hardship.log, stack.target.log()),
            codes=CODES[place],
            recovery=RECOVERY * patience(),
        )
    figures = {"waited in mid-text all the time, of them lost": f"{waited.connections}, {len(waited.findings)}"}
    return with_aftermath(figures, [], outcome)


def fill(client: Any, place: str, hardship: Hardship, probe: Probe, episodes: int, surroundings: Surroundings) -> None:
    """Has the server run out of memory, and gives it some again once that was felt."""
    random = Random(surroundings.seed)  # noqa: S311 - the same times for the same seed
    for _ in range(episodes):
        with full(client, ROOM[place]):
            probe.until_refused(surroundings)
            surroundings.pause(random.uniform(0, FULL))
        hardship.recovered_after.append(probe.until_accepted(surroundings))
        hardship.times += 1
        surroundings.say(f"{hardship.times} of {episodes}, mail again after {hardship.recovered_after[-1]:.2f} s")


@contextlib.contextmanager
def full(client: Any, room: int) -> Iterator[None]:
    """A server that takes `room` more bytes, for the time of the block; it evicts nothing."""
    client.config_set("maxmemory", client.info("memory")["used_memory"] + room)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


def live_sessions(client: Any) -> int:
    """Sessions that have not ended, or whose text is still there."""
    keys = list(client.scan_iter(match="rr-tcp:*", count=1000))
    texts = {key.removesuffix(b":bulk") for key in keys if key.endswith(b":bulk")}
    states = [key for key in keys if not key.endswith(b":bulk")]
    with client.pipeline(transaction=False) as pipeline:
        for key in states:
            pipeline.hget(key, "closed")
        closed = pipeline.execute()
    return len(texts.union(key for key, value in zip(states, closed, strict=True) if value == b"0"))


FAULT: Final = Fault(
    id="F16",
    title="Redis has no memory left",
    holds=(
        "every acknowledged mail is stored once, with its bytes and envelope; clients are told 452 where mails are "
        "concerned and 421 where sessions are; sessions that end are removed all the same; mail is accepted within 5 s "
        "(longer on a machine that does much else) once there is memory again, by the same workers; "
        "connections that only waited go on"
    ),
    cases=cases,
)
