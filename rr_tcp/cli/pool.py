"""The worker processes of the TCP plugin, as RoadRunner's RPC server tells of them."""

from __future__ import annotations

import argparse
import contextlib
import time
from dataclasses import dataclass

from rr_tcp.cli.arguments import rpc_address
from rr_tcp.environment import Environment
from rr_tcp.errors import RPCServiceError, RPCTransportError, ServerError
from rr_tcp.plugins.informer import Informer, WorkerState
from rr_tcp.plugins.resetter import Resetter
from rr_tcp.rpc import RPC

PLUGIN = "tcp"

LIST_TIMEOUT = 5.0
"""Seconds. RoadRunner lists no worker while it replaces one, which takes as long as the new one's imports."""

RESET_TIMEOUT = 75.0
"""Seconds, above RoadRunner's own `pool.reset_timeout` of 60 s (pool v1.1.3). A reset takes that long when an event
hangs, and when it comes after one that failed."""

_POLL = 0.05  # seconds between two looks at the pool


@dataclass(frozen=True, slots=True)
class Replacement:
    """A pool whose workers were all replaced.

    Attributes:
        old: pids of the workers before.
        new: pids of the workers after.
        seconds: how long the reset took, during which no event was handled.
    """

    old: list[int]
    new: list[int]
    seconds: float


def add_rpc(parser: argparse.ArgumentParser) -> None:
    """Adds `--rpc`, by default what RR_RPC says, else where RoadRunner's default is."""
    parser.add_argument(
        "--rpc",
        metavar="ADDRESS",
        type=rpc_address,
        default=Environment.from_env().rpc_address,
        help="RoadRunner's RPC server, tcp://HOST:PORT or unix://PATH (default RR_RPC, here %(default)s)",
    )


def list_workers(rpc: RPC) -> list[WorkerState]:
    """The workers, as soon as RoadRunner lists them.

    Raises:
        ServerError: it listed none for LIST_TIMEOUT.
        RPCError: a call failed.
    """
    workers = _wait_listed(rpc)
    if not workers:
        raise ServerError(
            f"RoadRunner listed no worker for {LIST_TIMEOUT:g} s: they do not start, or are all gone. Its log says "
            "why; mend that, then `rr-tcp reset` starts them"
        )
    return workers


def replace_workers(address: str, *, timeout: float) -> Replacement:
    """Replaces all workers, waits until no old one is left and as many are there as before.

    Args:
        address: of the RPC server.
        timeout: seconds for the reset, and again for the wait after it.

    Raises:
        ServerError: they were not replaced; the message says what was seen and what to do.
        RPCError: RoadRunner cannot be reached.
    """
    with contextlib.closing(RPC(address)) as rpc:
        old = _pids(_wait_listed(rpc))  # none when an earlier reset failed
        start = time.monotonic()
        with contextlib.closing(RPC(address, timeout=timeout)) as resetting:
            _reset(resetting, timeout)
        taken = time.monotonic() - start
        deadline = time.monotonic() + timeout
        while not _replaced(old, new := _pids(Informer(rpc).workers(PLUGIN) or [])):
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{timeout:g} s after the reset the workers are {new or 'none'}, before it they were {old}: not "
                    "all were replaced. RoadRunner's log says why the new ones do not start; then reset again"
                )
            time.sleep(_POLL)
    return Replacement(old, new, taken)


def _wait_listed(rpc: RPC) -> list[WorkerState]:
    deadline = time.monotonic() + LIST_TIMEOUT
    while not (workers := Informer(rpc).workers(PLUGIN)) and time.monotonic() < deadline:
        time.sleep(_POLL)
    return workers or []


def _reset(rpc: RPC, timeout: float) -> None:
    try:
        Resetter(rpc).reset(PLUGIN)
    except RPCServiceError as error:
        raise ServerError(
            f"RoadRunner could not replace the workers: {error}. Its log says why, e.g. an error in the new code; "
            "mend it and reset again: until then there may be no worker at all"
        ) from error
    except RPCTransportError as error:
        raise ServerError(
            f"no answer to the reset: {error} If it is, the reset goes on, and waits for the events that are being "
            f"handled: look with `rr-tcp workers`, and wait longer than {timeout:g} s next time"
        ) from error


def _replaced(old: list[int], new: list[int]) -> bool:
    return len(new) >= max(1, len(old)) and not set(old) & set(new)


def _pids(workers: list[WorkerState]) -> list[int]:
    return [worker.pid for worker in workers]
