"""`make bench-sdk`: how near the SDK comes to a worker that does no work, in one run on the real server.

The contenders are measured in turns (A B C A B C ...), because machines are noisy: what is reported are medians of
ratios within a round. An echo that is wrong or missing ends the run with exit code 1; a target that is missed does not,
the table says so.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.chart import Group, Panel, svg
from bench.command_line import OUTPUT, exit_code, say
from bench.contenders import running
from bench.errors import BenchError
from bench.programs import Scenario, build, measure
from bench.results import Results, machine, markdown

SCENARIOS = (
    Scenario("1 connection", 1),
    Scenario("16 connections", 16),
    Scenario("64 connections", 64),
    # Few enough lines for the ports of one client address: each leaves one in TIME_WAIT for a minute.
    Scenario("connect, echo, close", 16, reconnect=True, limit=2000),
)

ROUNDS, SECONDS = 9, 1.5
QUICK_ROUNDS, QUICK_SECONDS = 1, 0.2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and returns the exit code: 0 measured, 1 failed with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m bench.sdk", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: shows that it works, measures nothing")
    parser.add_argument("--rounds", type=int, help=f"how often each contender has its turn (default {ROUNDS})")
    parser.add_argument("--seconds", type=float, help=f"how long a turn is (default {SECONDS})")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="directory for the results (default bench/results)")
    args = parser.parse_args(argv)
    rounds = args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS)
    seconds = args.seconds or (QUICK_SECONDS if args.quick else SECONDS)
    return exit_code(lambda: write(run(rounds, seconds), args.output))


def run(rounds: int, seconds: float) -> Results:
    """Measures every contender in every scenario, `rounds` times `seconds`, with a line of progress for each.

    Raises:
        RRTcpError: something could not be started, or an echo was wrong or missing.
    """
    say("building the load generator and the null worker")
    programs = build()
    say("starting the servers")
    with running(programs.null_worker) as served:
        results = Results([contender for contender, _ in served], SCENARIOS)
        for number in range(1, rounds + 1):
            for scenario in SCENARIOS:
                for contender, port in served:
                    try:
                        rate = measure(programs, scenario, port, seconds)
                    except BenchError as error:
                        raise BenchError(f"{contender.title}, {scenario.title}: {error}") from error
                    ratio = results.add(scenario, contender, rate)
                    say(f"round {number}/{rounds}, {scenario.title}: {contender.title} {rate:,.0f}/s, {ratio:.2f}")
    return results


def write(results: Results, directory: Path) -> None:
    """Writes the table, the chart and the measurements, and prints the table."""
    directory.mkdir(parents=True, exist_ok=True)
    table = markdown(results)
    measurements = [
        {"scenario": scenario, "contender": contender, "round_trips_per_second": rates}
        for (scenario, contender), rates in results.rates.items()
    ]
    (directory / "sdk.md").write_text(table)
    (directory / "sdk.svg").write_text(_chart(results))
    (directory / "sdk.json").write_bytes(msgspec.json.format(msgspec.json.encode(measurements)) + b"\n")
    sys.stdout.write(table)
    say(f"written to {directory}")


def _chart(results: Results) -> str:
    ceiling, *others = results.contenders
    groups = [
        Group([scenario.title], [results.ratio(scenario, other).median for other in others])
        for scenario in results.scenarios
    ]
    panel = Panel(f"Speed as a ratio to that of a {ceiling.title}", groups)
    return svg([panel], [other.title for other in others], note=machine(results))


if __name__ == "__main__":
    sys.exit(main())
