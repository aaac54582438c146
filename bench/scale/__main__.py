"""`make bench-scale`: what a connection and a mail cost on Redis, and what many of them would.

A real stack with sessions and mails in Redis, on 127.0.0.1. Connections are opened in steps and memory is looked at;
then mails are sent, and the processes and both Redis servers are asked what they did. What is computed from that, and
with which assumptions, stands below the tables.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.command_line import OUTPUT, exit_code, say
from bench.programs import ROOT, build
from bench.scale.figures import Assumptions, MailWork, Memory, markdown
from bench.scale.measuring import mails, memory
from bench.smtp.contenders import CONTENDERS, running
from bench.smtp.scenarios import KB, Scenario

MAIL: Final = ROOT / ".cache" / "bench"

STEPS: Final = (0, 50, 100, 200, 300, 400)
QUICK_STEPS: Final = (0, 5, 10)

STATES: Final = (("said EHLO", False), ("sent 4 kB of a mail", True))
"""What connections have said that wait, and whether they are in the middle of a text."""

SCENARIOS: Final = (
    Scenario(4 * KB, 16, limit=2000),
    Scenario(4 * KB, 16, pipelined=True, limit=2000),
    Scenario(4 * KB, 16, reconnect=True, limit=2000),
    Scenario(100 * KB, 16, limit=400),
)

SECONDS, QUICK_SECONDS = 5.0, 0.2

WORKERS: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and returns the exit code: 0 measured, 1 failed with the reason on stderr."""
    args = _parser().parse_args(argv)
    assumed = Assumptions(args.core_hour, args.gib_hour, args.busy, args.at_once)
    load = os.getloadavg()[0]

    def benchmark() -> None:
        memories, works = run(quick=args.quick)
        write(memories, works, assumed, load=load, directory=args.output)

    return exit_code(benchmark)


def write(memories: list[Memory], works: list[MailWork], assumed: Assumptions, *, load: float, directory: Path) -> None:
    """Writes the tables and the measurements, and prints the tables."""
    tables = markdown(memories, works, assumed, load=load)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "scale.md").write_text(tables)
    measured = msgspec.json.encode({"memory": memories, "mails": works, "assumed": assumed})
    (directory / "scale.json").write_bytes(msgspec.json.format(measured) + b"\n")
    sys.stdout.write(tables)


def run(*, quick: bool) -> tuple[list[Memory], list[MailWork]]:
    """Measures connections first, then mails, with a line of progress for each.

    Raises:
        RRTcpError: something could not be started, or a reply was wrong or missing.
    """
    steps, seconds = (QUICK_STEPS, QUICK_SECONDS) if quick else (STEPS, SECONDS)
    states, scenarios = (STATES[:1], SCENARIOS[:1]) if quick else (STATES, SCENARIOS)
    say("building the load generator, starting the servers")
    program = build().smtp_load
    MAIL.mkdir(parents=True, exist_ok=True)
    (contender,) = (each for each in CONTENDERS if each.redis_sessions and each.redis_mails)
    memories, works = [], []
    for state, in_text in states:  # each begins with a server of its own
        with running([contender], MAIL, workers=WORKERS) as (stack,):
            say(f"opening up to {steps[-1]} connections that have {state}")
            memories.append(memory(stack, state, steps, in_text=in_text))
    for scenario in scenarios:
        with running([contender], MAIL, workers=WORKERS) as (stack,):
            works.append(mails(stack, program, scenario, seconds=seconds))
            say(f"{scenario.title}: {works[-1].rate:,.0f} mails/s")
    return memories, works


def _parser() -> argparse.ArgumentParser:
    default = Assumptions()
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shows that it works, measures nothing")
    parser.add_argument("--core-hour", type=float, default=default.core_hour, help="price of a core for an hour")
    parser.add_argument("--gib-hour", type=float, default=default.gib_hour, help="price of a GiB of memory for an hour")
    parser.add_argument("--busy", type=float, default=default.busy, help="part of the time that machines are busy")
    parser.add_argument("--at-once", type=float, default=default.at_once, help="seconds that a connection stays open")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="directory for the results (default bench/results)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
