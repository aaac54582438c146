"""F4: the network to Redis is slow, swallows everything, resets connections, or cuts them in mid-reply, under load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import Final, Protocol

from tests.faults import lone_client
from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.fault import Case, Fault, Outcome, Surroundings, median_and_longest
from tests.faults.hardship import RECOVERY, Hardship, Probe, judge, patience, under_load
from tests.faults.lone_client import SILENT_FOR
from tests.faults.redis_stacks import PLACES, running_redis_stores
from tests.faults.stacks import running_stack
from tests.support.toxiproxy import Proxy, Toxic

CLIENTS: Final = 16

WORKERS: Final = 8
"""More than processors: most of them wait for Redis most of the time."""

EPISODES, QUICK_EPISODES = 3, 1

LATENCY: Final = 200
"""Milliseconds that each answer of a slow Redis takes longer."""

SLOW_TIME: Final = 3.0
"""Seconds of slowness."""

LONGEST: Final = 1.5
"""Seconds at most that other trouble goes on once it was felt."""

CUTS: Final = 8
"""Places where connections are cut in one episode, one after the other, each for at most `CUT_TIME` seconds."""

CUT_TIME: Final = 0.3

CUT_AT: Final = 3000
"""Bytes of a connection at most before it is cut: within the first replies after a connection was made, or later."""

CASE_LIMIT: Final = 300.0

CODES: Final = ("421", "451")


class Trouble(Protocol):
    """One episode."""

    def __call__(self, proxy: Proxy, probe: Probe, random: Random, surroundings: Surroundings) -> None: ...


def slow(proxy: Proxy, probe: Probe, random: Random, surroundings: Surroundings) -> None:
    """A slow Redis does everything, so that mail is accepted."""
    del random
    with proxy.poisoned(Toxic("latency", {"latency": LATENCY})):
        surroundings.pause(SLOW_TIME)
        probe.until_accepted(surroundings)


def black_hole(proxy: Proxy, probe: Probe, random: Random, surroundings: Surroundings) -> None:
    """What is asked reaches nobody, or it is done and the answer reaches nobody."""
    with proxy.poisoned(Toxic("timeout", {"timeout": 0}, _direction(random))):
        probe.until_refused(surroundings)
        surroundings.pause(random.uniform(0, LONGEST))


def reset(proxy: Proxy, probe: Probe, random: Random, surroundings: Surroundings) -> None:
    """As a black hole, but at once: the connection is reset by what it carries."""
    with proxy.poisoned(Toxic("reset_peer", {"timeout": 0}, _direction(random))):
        probe.until_refused(surroundings)
        surroundings.pause(random.uniform(0, LONGEST))


def cut(proxy: Proxy, probe: Probe, random: Random, surroundings: Surroundings) -> None:
    """Connections end after some bytes, in the middle of what is asked or answered."""
    for _ in range(CUTS):
        with proxy.poisoned(Toxic("limit_data", {"bytes": random.randrange(CUT_AT)}, _direction(random))):
            probe.accepted()
            surroundings.pause(random.uniform(0, CUT_TIME))


def _direction(random: Random) -> str:
    return random.choice(("upstream", "downstream"))


TROUBLES: Final[Mapping[str, Trouble]] = {"slow": slow, "black hole": black_hole, "reset": reset, "cut": cut}


def cases(quick: bool) -> Sequence[Case]:
    """All troubles of the Redis for sessions, of that for mails, and of one for both; or the last, once each."""
    episodes, places = (QUICK_EPISODES, PLACES[-1:]) if quick else (EPISODES, PLACES)
    loaded = [Case(f"{place} in it", partial(run, place, episodes), CASE_LIMIT) for place in places]
    alone = [Case(f"{place} in it, one client", partial(lone_client.run, place), CASE_LIMIT) for place in SILENT_FOR]
    return loaded if quick else [*loaded, *alone]


def run(place: str, episodes: int, surroundings: Surroundings) -> Outcome:
    """One case: clients and trouble together, then everything is counted."""
    directory = surroundings.directory
    recovered: dict[str, list[float]] = {}
    with running_redis_stores(place, directory) as redis:
        with (
            running_stack(redis.stores, directory, workers=WORKERS) as stack,
            under_load(stack, CLIENTS, surroundings) as (hardship, probe),
        ):
            for name, trouble in TROUBLES.items():
                recovered[name] = _episodes(trouble, episodes, redis.proxy, hardship, probe, surroundings)
                surroundings.say(f"{name}: {episodes} times, mail again after {median_and_longest(recovered[name])}")
        outcome = judge(
            hardship,
            aftermath(redis.direct, hardship.log, stack.target.log()),
            codes=CODES,
            recovery=RECOVERY * patience(),
        )
    return with_aftermath(
        {f"after {name}": median_and_longest(times) for name, times in recovered.items()}, [], outcome
    )


def _episodes(
    trouble: Trouble, times: int, proxy: Proxy, hardship: Hardship, probe: Probe, surroundings: Surroundings
) -> list[float]:
    """The seconds after each until mail was accepted again."""
    random = Random(surroundings.seed)  # noqa: S311 - the same trouble for the same seed
    recovered = []
    for _ in range(times):
        trouble(proxy, probe, random, surroundings)
        recovered.append(probe.until_accepted(surroundings))
    hardship.times += times
    hardship.recovered_after += recovered
    return recovered


FAULT: Final = Fault(
    id="F4",
    title="The network to Redis is slow, a black hole, resets connections, or cuts them in mid-reply",
    holds=(
        "every acknowledged mail is stored once, with its bytes and envelope, though what was asked of Redis may have "
        "been done and its answer lost; clients are told 421 or 451, and none waits in vain; a mail is accepted within "
        "5 s (longer on a machine that does much else) afterwards, by the same workers"
    ),
    cases=cases,
)
