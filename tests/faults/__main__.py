"""`make faults`: provokes faults on real stacks, two at a time, and says what did not hold.

Everything happens on 127.0.0.1, and is bounded in number and time. Cases that measure times have the machine for
themselves, when the others are done. The report goes to stdout and to `.cache/faults`; what a case leaves behind is
kept there when something did not hold. The exit code is 0 when all held, 1 when something did not or could not be run,
130 after Ctrl-C, which ends everything that was started.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from rr_tcp.foreground import Interrupted, Signals
from tests.faults import (
    f01_killed_workers,
    f02_hung_workers,
    f03_killed_redis,
    f04_troubled_redis,
    f05_cut_streams,
    f06_idle_clients,
    f07_endless_streams,
    f08_smuggled_mails,
    f09_fuzzed_input,
    f10_file_descriptors,
    f11_resets,
    f12_stops,
    f13_odd_clients,
    f14_repeated_events,
    f15_busy_pool,
    f16_full_redis,
    f17_expired_sessions,
    f18_soak,
    f19_killed_masters,
)
from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.faults.report import CaseResult, markdown, write

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / ".cache" / "faults"

FAULTS: Final[Sequence[Fault]] = (  # in order, one a line
    f01_killed_workers.FAULT,
    f02_hung_workers.FAULT,
    f03_killed_redis.FAULT,
    f04_troubled_redis.FAULT,
    f05_cut_streams.FAULT,
    f06_idle_clients.FAULT,
    f07_endless_streams.FAULT,
    f08_smuggled_mails.FAULT,
    f09_fuzzed_input.FAULT,
    f10_file_descriptors.FAULT,
    f11_resets.FAULT,
    f12_stops.FAULT,
    f13_odd_clients.FAULT,
    f14_repeated_events.FAULT,
    f15_busy_pool.FAULT,
    f16_full_redis.FAULT,
    f17_expired_sessions.FAULT,
    f18_soak.FAULT,
    f19_killed_masters.FAULT,
)

JOBS: Final = 2
"""Cases that run at the same time, each on a stack of its own."""

INTERRUPTED: Final = 130

_LONGEST_MESSAGE: Final = 2000
"""Characters of an error in the report; it may quote a whole log, which is kept anyway."""


def main(argv: Sequence[str] | None = None, *, faults: Sequence[Fault] = FAULTS) -> int:
    """Runs what the command line says and returns the exit code."""
    parser = _parser(faults)
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.faults) - {fault.id for fault in faults}:
        parser.error(f"there is no fault {', '.join(sorted(unknown))}: --help names those there are")
    chosen = [fault for fault in faults if not arguments.faults or fault.id in arguments.faults]
    signals = Signals()
    planned = [
        (fault, case) for fault in chosen for case in fault.cases(arguments.quick) if arguments.case in case.name
    ]
    try:
        results = _run_all(planned, arguments, signals)
    except Interrupted:
        sys.stderr.write("faults: interrupted; everything that was started has ended\n")
        return INTERRUPTED
    if not results:
        sys.stderr.write(f"faults: no case has {arguments.case!r} in its name\n")
        return 1
    sys.stdout.write(markdown(results))
    return 1 if any(result.outcome.findings for result in results) else 0


def _parser(faults: Sequence[Fault]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Provokes faults on real stacks.")
    names = [fault.id for fault in faults]
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"{', '.join(names)} (default: all)", default=[])
    parser.add_argument("--quick", action="store_true", help="a short choice of cases, about a minute for each fault")
    parser.add_argument("--case", default="", metavar="TEXT", help="only cases with TEXT in their name")
    parser.add_argument("--jobs", type=int, choices=range(1, 9), default=JOBS, help=f"cases at the same time ({JOBS})")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of what is random (random)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="directory for the report (.cache/faults)")
    return parser


def _run_all(
    planned: Sequence[tuple[Fault, Case]], arguments: argparse.Namespace, signals: Signals
) -> list[CaseResult]:
    """What came of the cases, in their order; those that may share the machine go first.

    The report is written after each: a run that is ended has told what it found.
    """
    results: dict[int, CaseResult] = {}
    writing = threading.Lock()

    def run(number: int) -> None:
        result = _run(*planned[number], arguments.seed, arguments.output, signals)
        with writing:
            results[number] = result
            write(_in_order(results), arguments.output)

    for alone, jobs in ((False, arguments.jobs), (True, 1)):
        numbers = [number for number, (_, case) in enumerate(planned) if case.alone == alone]
        with ThreadPoolExecutor(jobs) as threads:
            for done in [threads.submit(run, number) for number in numbers]:
                done.result()
    return _in_order(results)


def _in_order(results: Mapping[int, CaseResult]) -> list[CaseResult]:
    return [results[number] for number in sorted(results)]


def _run(fault: Fault, case: Case, seed: int, output: Path, signals: Signals) -> CaseResult:
    """One case in a directory of its own, which is kept when something does not hold."""
    signals.check()
    output.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{fault.id}-", dir=output.resolve()))  # stores' URLs name it
    surroundings = Surroundings(directory, seed, f"{fault.id}, {case.name}", case.limit, signals.check)
    surroundings.say(f"begins, seed {seed}")
    try:
        outcome = _outcome(case, surroundings, signals)
    except Interrupted:
        shutil.rmtree(directory)
        raise
    seconds = time.monotonic() - surroundings.started
    for finding in outcome.findings:
        surroundings.say(f"DOES NOT HOLD: {finding}")
    surroundings.say(f"{f'see {directory}' if outcome.findings else 'holds'}, {seconds:.0f} s")
    if not outcome.findings:
        shutil.rmtree(directory)
    return CaseResult(fault, case.name, seed, seconds, os.getloadavg()[0], outcome)


def _outcome(case: Case, surroundings: Surroundings, signals: Signals) -> Outcome:
    try:
        return case.run(surroundings)
    except Interrupted:
        raise
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - it is reported, and the next case has its turn
        signals.check()  # a terminal's Ctrl-C reaches the stack as well, which then ends under the case's hands
        message = f"{type(error).__name__}: {error}"
        return Outcome({}, [f"it could not be run to its end: {message[:_LONGEST_MESSAGE]}"])


if __name__ == "__main__":
    sys.exit(main())
