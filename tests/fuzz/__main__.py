"""Fuzzes every target in turn: `python -m tests.fuzz --seconds 60 [TARGET...]`.

New inputs that reach new code are kept in `.cache/fuzz` and are where the next run starts. An input that breaks a rule
is kept there too, and the exit code is 1. To run one again: `python -m tests.fuzz --input FILE TARGET`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import SEEDS, TARGETS

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".cache" / "fuzz"

EXECUTION_TIMEOUT = 5
"""Seconds for one input, after which it is taken for a hang; all of them take milliseconds."""

MAX_INPUT = 8192
"""Bytes of an input: over every limit that the targets set."""


def fuzz(name: str, seconds: int) -> bool:
    """Fuzzes one target and says how it went; whether nothing was found."""
    corpus, found = KEPT / "corpus" / name, KEPT / "found" / name
    for directory in (corpus, found):
        directory.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    options = {
        "max_total_time": seconds,
        "max_len": MAX_INPUT,
        "timeout": EXECUTION_TIMEOUT,
        "artifact_prefix": f"{found}/",
        "print_final_stats": 1,
    }
    arguments = [f"-{option}={value}" for option, value in options.items()]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.engine", name, *arguments, str(corpus), str(SEEDS / name)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + 60,
    )
    executions = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    coverage = re.findall(r"cov: (\d+) ft: (\d+)", done.stderr)
    if done.returncode == 0 and executions and coverage:
        sys.stdout.write(
            f"{name:14} {int(executions[1]):>9,} inputs in {seconds} s, {coverage[-1][0]} edges, "
            f"{len(list(corpus.iterdir()))} kept, nothing found\n"
        )
        return True
    sys.stdout.write(f"{name}: exit code {done.returncode}\n{done.stdout}{done.stderr}\n")
    for path in sorted(set(found.iterdir()) - before):
        sys.stdout.write(f"once more: {sys.executable} -m tests.fuzz --input {path} {name}\n")
    return False


def main() -> int:
    """The exit code: 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz targets, guided by coverage.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together (%(default)s)")
    parser.add_argument("--input", type=Path, help="run one target on this file, without a fuzzer")
    args = parser.parse_args()
    names = args.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}: choose from {', '.join(TARGETS)}")
    if args.input:
        for name in names:
            TARGETS[name](args.input.read_bytes())
        return 0
    share = max(1, args.seconds // len(names))
    results = [fuzz(name, share) for name in names]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
