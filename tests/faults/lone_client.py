"""One client alone, and one worker: how long it waits while Redis is silent, and for a large mail while it is slow.

Under load a client waits for those before it as well. Alone, it waits for the timeouts of the stores, and nothing else.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from rr_tcp.redis_nodes import CONNECT_TIMEOUT
from rr_tcp.stores import redis_store
from services.smtp.mailstore import redis_client
from tests.e2e.clients import RawClient
from tests.faults.aftermath import aftermath, with_aftermath
from tests.faults.clients import TEMPORARY, Log
from tests.faults.dialogues import make_mail
from tests.faults.fault import Outcome, Surroundings
from tests.faults.redis_stacks import RedisStack, running_redis_stores
from tests.faults.stacks import Stack, running_stack
from tests.support.toxiproxy import Toxic

SILENT_FOR: Final[Mapping[str, Sequence[str]]] = {
    "sessions": ("greeting", "MAIL", "text"),
    "mails": ("text",),
    "both": (),
}
"""The replies that a client waits for while the Redis for this or that is silent. The one for both is only slow: it is
the session store that is asked first."""

TIMEOUTS: Final[Mapping[str, float]] = {
    "sessions": 2 * (CONNECT_TIMEOUT + redis_store.SOCKET_TIMEOUT),
    "mails": 2 * (CONNECT_TIMEOUT + redis_client.SOCKET_TIMEOUT),
    "both": 0.0,
}
"""Seconds that an event waits at most: for its store, and for the second call, which ends the session, or tries the
mail again."""

LEEWAY: Final = 2.0
"""Seconds for everything that is no waiting, on a machine that has other things to do."""

LATENCY: Final = 200
"""Milliseconds that each answer of a slow Redis takes longer."""

LARGE: Final = 10_000_000
"""Bytes of a mail that takes many steps to store: a little under what the service accepts at most by default."""

LARGE_WAIT: Final = 18.0
"""Seconds for its reply: under RoadRunner's `exec_ttl`, which would end the worker without one."""


def run(place: str, surroundings: Surroundings) -> Outcome:
    """A silent Redis, at one moment after the other; then a slow one, and a large mail."""
    log, longest, findings = Log(), 0.0, list[str]()
    with running_redis_stores(place, surroundings.directory) as redis:
        with running_stack(redis.stores, surroundings.directory, workers=1) as stack:
            before = {worker.pid for worker in stack.pool()}
            for what in SILENT_FOR[place]:
                for stream in ("upstream", "downstream"):
                    surroundings.check()
                    toxic = Toxic("timeout", {"timeout": 0}, stream)
                    seconds, reply = wait(stack, redis, toxic, what, 1000, log)
                    longest = max(longest, seconds)
                    if reply[:3] not in TEMPORARY:
                        findings.append(f"with a silent Redis ({stream}) the {what} was answered {reply!r}")
            large, reply = wait(stack, redis, Toxic("latency", {"latency": LATENCY}), "text", LARGE, log)
            surroundings.say(f"a slow one: {reply!r} to a large mail after {large:.2f} s")
            _, healthy = wait(stack, redis, Toxic("latency", {"latency": 0}), "text", 1000, log)
            if healthy[:3] != b"250":
                findings.append(f"once all was well again, a mail was answered {healthy!r}")
            lost = before - {worker.pid for worker in stack.pool()}
        after = aftermath(redis.direct, log, stack.target.log())
    figures, found = judge(place, longest, (large, reply), lost)
    return with_aftermath(figures, [*findings, *found], after)


def judge(place: str, longest: float, large: tuple[float, bytes], lost: set[int]) -> tuple[dict[str, str], list[str]]:
    """The figures and findings of what was measured."""
    findings = []
    if longest > TIMEOUTS[place] + LEEWAY:
        findings.append(f"a reply took {longest:.1f} s, the timeouts are {TIMEOUTS[place]:g} s together")
    seconds, reply = large
    if seconds > LARGE_WAIT or reply[:3] not in TEMPORARY | {b"250"}:
        findings.append(f"a large mail was answered {reply!r} after {seconds:.1f} s")
    if lost:
        findings.append(f"{len(lost)} workers ended")
    figures = {
        "longest wait for a reply": f"{longest:.2f} s" if longest else "-",
        f"{LARGE // 10**6} MB to a slow Redis": f"{reply[:3].decode()} after {seconds:.1f} s",
        "workers lost": str(len(lost)),
    }
    return figures, findings


def wait(stack: Stack, redis: RedisStack, toxic: Toxic, what: str, size: int, log: Log) -> tuple[float, bytes]:
    """Sends a mail, with trouble from one of its replies on; that reply, and the seconds that it took."""
    random = Random(log.connections)  # noqa: S311 - the same mails each time
    line = random.randbytes(100).hex().encode() + b"\r\n"
    dialogue = make_mail(random, f"alone-{log.connections}", line * (size // len(line)))
    log.connections += 1
    log.attempts += dialogue.attempts
    (attempt,) = dialogue.attempts
    with contextlib.ExitStack() as block:
        for step in dialogue.steps:
            (expected,) = step.expected
            if expected.what == what:
                block.enter_context(redis.proxy.poisoned(toxic))
            if expected.what == "greeting":
                client = block.enter_context(RawClient(stack.target.smtp))
            attempt.sent = expected.attempt is not None
            client.send(step.data)
            began = time.monotonic()
            reply = client.reply()
            if expected.attempt is not None:
                attempt.reply = reply
            if expected.what == what:
                return time.monotonic() - began, reply
    raise AssertionError(f"a client waits for no {what}")
