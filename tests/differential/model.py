"""Holds the service to the model, whatever fails: `python -m tests.differential.model --minutes 30 --seed 1`.

World after world, each of a seed of its own: clients talk at the same time, in pieces, to workers that die, over stores
that fail, with sessions that expire. The exit code is 1 when the service contradicts the model, when a mail that was
acknowledged is not stored exactly once, or when one is stored that no client can have meant.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import random
import secrets
import sys
import time
from collections import Counter
from typing import Final

from tests.differential.world import MAIL_STORES, World

DURABLE: Final = 20
"""One of so many worlds has real stores: LMDB, and one of the mail stores."""

PROGRESS_EVERY: Final = 10.0
"""Seconds."""

LONG_RUN: Final = 500
"""Worlds from which on all that may happen must have happened; a minute of a machine that does little else."""

HAPPENS: Final = frozenset(
    {
        "mails acknowledged",
        "mails stored without the client knowing",
        "a worker died",
        "the session store failed",
        "a session could not be saved",
        "a session expired",
        "a client left",
        "the session ended",
        "ADD failed",
        "ADDED failed",
        "END failed",
    }
)

STORY: Final = 60
"""Sentences that are shown of a world that went wrong."""


def world(name: str, number: int) -> World:
    """The world of a seed."""
    turn, rest = divmod(number, DURABLE)
    mail_store = "" if rest else MAIL_STORES[turn % len(MAIL_STORES)]
    return World(random.Random(name), mail_store)  # noqa: S311 - the same one each time


def run(seconds: float, seed: int) -> int:
    """Runs worlds for a time; the exit code."""
    started = shown = time.monotonic()
    happened: Counter[str] = Counter()
    for number in itertools.count(1):
        name = f"{seed}:{number}"
        current = world(name, number)
        try:
            current.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            story = "\n".join(current.story[-STORY:])
            sys.stdout.write(f"{story}\nworld {name}: {type(error).__name__}: {error}\n")
            return 1
        happened += current.happened
        now = time.monotonic()
        if now - shown > PROGRESS_EVERY or now - started > seconds:
            shown = now
            sys.stdout.write(f"{now - started:5.0f} s, {number:,} worlds, {happened['mails acknowledged']:,} mails\n")
            sys.stdout.flush()
        if now - started > seconds:
            break
    for what, times in happened.most_common():
        sys.stdout.write(f"{times:>9,}  {what}\n")
    never = HAPPENS - set(happened) if number >= LONG_RUN else frozenset()
    sys.stdout.write(
        f"seed {seed}: {number:,} worlds, nothing found{f', but never: {sorted(never)}' if never else ''}\n"
    )
    return 1 if never else 0


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential.model", description="Fuzz the mail service.")
    long = parser.add_mutually_exclusive_group()
    long.add_argument("--minutes", type=float, help="how long (1)")
    long.add_argument("--seconds", type=float, help="the same in seconds")
    parser.add_argument("--seed", type=int, default=None, help="of all chance; by default another one each time")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what fails on purpose
    seconds = args.seconds if args.seconds is not None else 60 * (1.0 if args.minutes is None else args.minutes)
    return run(seconds, secrets.randbelow(1_000_000) if args.seed is None else args.seed)


if __name__ == "__main__":
    sys.exit(main())
