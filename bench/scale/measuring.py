"""A real stack on two Redis servers, what its processes and servers say of themselves, and clients that wait."""

from __future__ import annotations

import contextlib
import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import redis

from bench.errors import BenchError
from bench.scale.figures import MailWork, Memory, StoreWork
from bench.smtp.contenders import Running
from bench.smtp.processes import cpu_seconds, tree
from bench.smtp.scenarios import Scenario, measure

TEXT: Final = b"x" * 78 + b"\r\n"
TEXT_LINES: Final = 51
"""Of a connection that waits in the middle of a text: 4 kB."""

_LOOKS: Final = 5
"""Of which the median counts: a garbage collector may have just run, or not."""

_BETWEEN_LOOKS: Final = 0.2  # seconds

_TIMEOUT: Final = 60.0  # seconds for any one answer


def memory(stack: Running, state: str, steps: Sequence[int], *, in_text: bool) -> Memory:
    """Opens more and more connections and looks at the memory at each step.

    Args:
        stack: what serves them.
        state: a title of what they said.
        steps: numbers of connections.
        in_text: whether they wait in the middle of a mail's text; else behind EHLO.

    Raises:
        BenchError: a reply was wrong or missing.
    """
    parts: dict[str, list[int]] = {"RoadRunner": [], "workers": [], "Redis, sessions": []}
    with contextlib.ExitStack() as clients:
        opened = 0
        for step in steps:
            for _ in range(step - opened):
                clients.enter_context(_waiting(stack.port, in_text=in_text))
            opened = step
            for part, pids in _processes(stack).items():
                parts[part].append(_resident(pids))
    return Memory(state, steps, parts)


def mails(stack: Running, program: Path, scenario: Scenario, *, seconds: float) -> MailWork:
    """Has mails sent, and asks the processes and both Redis servers what they did meanwhile.

    Raises:
        BenchError: a reply was wrong or missing, or not every mail is stored once.
    """
    others = tuple(stack.others)
    cpu, cpu_redis, before = cpu_seconds(stack.roots), cpu_seconds(others), [_counters(url) for url in stack.redis]
    load = measure(program, scenario, stack.port, seconds=seconds)
    after = [_counters(url) for url in stack.redis]
    cpu, cpu_redis = cpu_seconds(stack.roots) - cpu, cpu_seconds(others) - cpu_redis
    stack.stored.check(load)
    count = load.acknowledged
    sessions, stored = (_work(one, other, count) for one, other in zip(before, after, strict=True))
    rate = load.mails / load.seconds
    return MailWork(scenario.title, count, rate, cpu / count, cpu_redis / count, sessions, stored)


@contextlib.contextmanager
def _waiting(port: int, *, in_text: bool) -> Iterator[None]:
    with socket.create_connection(("127.0.0.1", port), _TIMEOUT) as client, client.makefile("rb") as replies:
        _expect(replies, b"220")
        lines = [(b"EHLO client.example.test", b"250")]
        if in_text:
            lines += [(b"MAIL FROM:<a@example.test>", b"250"), (b"RCPT TO:<b@example.test>", b"250"), (b"DATA", b"354")]
        for line, code in lines:
            client.sendall(line + b"\r\n")
            _expect(replies, code)
        if in_text:
            client.sendall(TEXT * TEXT_LINES)
        yield


def _expect(replies: Any, code: bytes) -> None:
    line = replies.readline()
    while line[3:4] == b"-":
        line = replies.readline()
    if line[:3] != code:
        raise BenchError(f"a connection that is to wait got {line!r} where {code!r} is due")


def _processes(stack: Running) -> dict[str, set[int]]:
    return {
        "RoadRunner": set(stack.handlers),
        "workers": tree(stack.handlers) - set(stack.handlers),
        "Redis, sessions": set(stack.others[:1]),
    }


def _resident(pids: set[int]) -> int:
    looks = []
    for _ in range(_LOOKS):
        time.sleep(_BETWEEN_LOOKS)
        looks.append(sum(_pss(pid) for pid in pids))
    return int(statistics.median(looks))


def _pss(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError as error:
        raise BenchError(f"the memory of process {pid} cannot be read: {error}. Run as its user") from error
    return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))


def _counters(url: str) -> dict[str, int]:
    """Calls of each command, and two totals."""
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        commands: Any = client.info("commandstats")
        stats: Any = client.info("stats")
    calls = {name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in commands.items()}
    return calls | {_READS: int(stats["total_reads_processed"]), _RECEIVED: int(stats["total_net_input_bytes"])}


_READS, _RECEIVED = " reads", " received"  # no commands: those have no space in front

_OURS: Final = frozenset({"info", "hello", "client|setinfo"})
"""What this module asks itself."""


def _work(before: dict[str, int], after: dict[str, int], mails: int) -> StoreWork:
    more = {name: (count - before.get(name, 0)) / mails for name, count in after.items()}
    reads, received = more.pop(_READS), more.pop(_RECEIVED)
    return StoreWork({name: calls for name, calls in more.items() if calls and name not in _OURS}, reads, received)
