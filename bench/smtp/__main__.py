"""`make bench-smtp`: the mail service behind RoadRunner against aiosmtpd, in one run.

The contenders are measured in turns (A B C A B C ...), because machines are noisy: what is reported are medians of
ratios within a round. Every mail must be acknowledged, and stored exactly once with the text that was sent; else the
run ends with exit code 1. A target that is missed does not end it, the table says so.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.chart import svg
from bench.command_line import OUTPUT, exit_code, say
from bench.errors import BenchError
from bench.programs import ROOT, build
from bench.smtp.contenders import BASELINE, CONTENDERS, Contender, Running, running
from bench.smtp.disk import flush_seconds
from bench.smtp.processes import cpu_seconds, forget_peaks, peak_bytes
from bench.smtp.report import machine, markdown, panels
from bench.smtp.results import Measurement, Results
from bench.smtp.scenarios import BIG, SCENARIOS, Scenario, measure

MAIL: Final = ROOT / ".cache" / "bench"

ROUNDS, SECONDS, WORKERS = 5, 1.0, 2
QUICK_ROUNDS, QUICK_SECONDS = 1, 0.1

_BIG_SECONDS: Final = 60.0  # at most: big mails have a number of mails per turn, whose time is what is measured

_BAR: Final = 12  # pixels: the chart has many


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark and returns the exit code: 0 measured, 1 failed with the reason on stderr."""
    args = _parser().parse_args(argv)
    rounds = args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS)
    seconds = args.seconds or (QUICK_SECONDS if args.quick else SECONDS)

    def benchmark() -> None:
        contenders, scenarios, big = _chosen(args)
        results = Results(contenders, scenarios, big, load=os.getloadavg()[0])
        run(results, rounds, seconds, mail=args.mail, workers=args.workers)
        write(results, args.output, workers=args.workers)

    return exit_code(benchmark)


def run(results: Results, rounds: int, seconds: float, *, mail: Path, workers: int) -> None:
    """Measures every contender in every scenario, `rounds` times `seconds`, with a line of progress for each.

    Raises:
        RRTcpError: something could not be started, a reply was wrong or missing, or the mails that are stored are not
            those that were acknowledged.
    """
    say("building the load generator")
    program = build().smtp_load
    mail.mkdir(parents=True, exist_ok=True)
    say("starting the servers")
    with running(results.contenders, mail, workers=workers) as served:
        for number in range(1, rounds + 1):
            results.flushes.append(flush_seconds(mail))
            for scenario in (*results.scenarios, *results.big):
                length = _BIG_SECONDS if scenario in results.big else seconds
                for contender in served:
                    try:
                        turn = _turn(program, scenario, contender, seconds=length, run_number=number)
                    except BenchError as error:
                        raise BenchError(f"{contender.contender.title}, {scenario.title}: {error}") from error
                    results.add(scenario, contender.contender, turn)
                    say(
                        f"round {number}/{rounds}, {scenario.title}: {contender.contender.title} {turn.rate:,.1f}/s, "
                        f"{turn.cpu * 1000:.2f} ms of processor time"
                    )


def _turn(program: Path, scenario: Scenario, contender: Running, *, seconds: float, run_number: int) -> Measurement:
    workers = contender.workers()
    forget_peaks(workers)
    before = cpu_seconds(contender.roots)
    load = measure(program, scenario, contender.port, seconds=seconds, run=run_number)
    spent = cpu_seconds(contender.roots) - before
    peak = peak_bytes(workers)
    contender.stored.check(load)
    return Measurement(load.mails / load.seconds, spent / load.acknowledged, peak)


def write(results: Results, directory: Path, *, workers: int) -> None:
    """Writes the tables, the chart and the measurements, and prints the tables."""
    directory.mkdir(parents=True, exist_ok=True)
    tables = markdown(results, workers=workers)
    measurements = [
        {"scenario": scenario.title, "contender": contender, "turns": turns}
        for (scenario, contender), turns in results.measurements.items()
    ]
    (directory / "smtp.md").write_text(tables)
    if results.scenarios:
        legend = [contender.title for contender in results.contenders[1:]]
        drawing = svg(list(panels(results)), legend, note=machine(results, workers=workers), bar=_BAR)
        (directory / "smtp.svg").write_text(drawing)
    (directory / "smtp.json").write_bytes(msgspec.json.format(msgspec.json.encode(measurements)) + b"\n")
    sys.stdout.write(tables)
    say(f"written to {directory}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.smtp", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: shows that it works, measures nothing")
    parser.add_argument("--rounds", type=int, help=f"how often each contender has its turn (default {ROUNDS})")
    parser.add_argument("--seconds", type=float, help=f"how long a turn is (default {SECONDS:g})")
    parser.add_argument("--workers", type=int, default=WORKERS, help=f"of each of ours (default {WORKERS})")
    parser.add_argument("--only", default="", help="a regular expression that the scenarios' titles must match")
    names = [contender.name for contender in CONTENDERS if contender is not BASELINE]
    parser.add_argument("--against", nargs="+", choices=names, default=names, help="the contenders beside aiosmtpd")
    parser.add_argument(
        "--mail", type=Path, default=MAIL, help="a directory on the disk that the mail stores shall use"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="directory for the results (default bench/results)")
    return parser


def _chosen(args: argparse.Namespace) -> tuple[list[Contender], list[Scenario], list[Scenario]]:
    contenders = [each for each in CONTENDERS if each is BASELINE or each.name in args.against]
    scenarios, big = ([each for each in some if re.search(args.only, each.title)] for some in (SCENARIOS, BIG))
    if not scenarios and not big:
        raise BenchError(f"no scenario's title matches {args.only!r}; one is {SCENARIOS[0].title!r}")
    return contenders, scenarios, big


if __name__ == "__main__":
    sys.exit(main())
