"""`make bench-sdk`: how near the SDK comes to a worker that does no work, in one run on the real server.

The contenders are measured in turns (A B C A B C ...), because machines are noisy: what is reported are medians of
ratios within a round. An echo that is wrong or missing ends the run with exit code 1; a target that is missed does not,
the table says so.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import msgspec

from bench.chart import Group, Panel, svg
from bench.contenders import running
from bench.errors import BenchError
from bench.programs import ROOT, Scenario, build, measure
from bench.results import Results, machine, markdown
from rr_tcp.errors import RRTcpError

OUTPUT = ROOT / "bench" / "results"

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
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a background job may ignore it
        signal.signal(number, _interrupt)
    try:
        results = run(rounds, seconds)
        write(results, args.output)
    except (RRTcpError, OSError) as error:
        sys.stderr.write(f"bench: {error}\n" + "".join(f"{note}\n" for note in getattr(error, "__notes__", ())))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def run(rounds: int, seconds: float) -> Results:
    """Measures every contender in every scenario, `rounds` times `seconds`, with a line of progress for each.

    Raises:
        RRTcpError: something could not be started, or an echo was wrong or missing.
    """
    _say("building the load generator and the null worker")
    programs = build()
    _say("starting the servers")
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
                    _say(f"round {number}/{rounds}, {scenario.title}: {contender.title} {rate:,.0f}/s, {ratio:.2f}")
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
    _say(f"written to {directory}")


def _chart(results: Results) -> str:
    ceiling, *others = results.contenders
    groups = [
        Group([scenario.title], [results.ratio(scenario, other).median for other in others])
        for scenario in results.scenarios
    ]
    panel = Panel(f"Speed as a ratio to that of a {ceiling.title}", groups)
    return svg([panel], [other.title for other in others], note=machine(results))


def _say(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is signal's
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
