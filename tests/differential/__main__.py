"""Runs random dialogues on the service and on aiosmtpd: `python -m tests.differential --dialogues 10000 --seed 1`.

The exit code is 1 when a difference is unexplained, when the model is contradicted, when cuts change an answer, or when
a long run has no use for a rule. What was found is shown with the smallest dialogue that shows it.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Final

from tests.differential.compare import Transcript
from tests.differential.dialogues import Dialogue
from tests.differential.roadrunner import RealServer, compare_streams
from tests.differential.rules import RULES
from tests.differential.run import Finding, Runner, dialogues
from tests.differential.shrink import shrink

LONG_RUN: Final = 10_000
"""Dialogues from which on a rule that explained nothing is an error."""

MOST_FINDINGS: Final = 5
"""After these the run ends: the rest would be more of the same."""

ON_ROADRUNNER: Final = 20
"""One of so many dialogues runs on the real server too."""

PROGRESS_EVERY: Final = 5.0
"""Seconds."""


def report(finding: Finding, runner: Runner) -> str:
    """What was found, and how little shows it."""

    def shows(dialogue: Dialogue) -> bool:
        smaller, _ = runner.run(dialogue, finding.pieces_seed)
        return smaller is not None and smaller.kind == finding.kind

    smallest = shrink(finding.dialogue, shows)
    again, _ = runner.run(smallest, finding.pieces_seed)
    assert again is not None
    steps = "\n".join(
        f"    {step.data!r}{' (once both wait for text)' if step.waits else ''}" for step in smallest.steps
    )
    hooked = "with" if smallest.hooked else "without"
    return f"{finding.kind} in dialogue {finding.pieces_seed}, {hooked} hooks:\n{steps}\n{again.what}\n"


def run(count: int, seed: int, *, real: int) -> int:
    """Runs the dialogues; the number of findings."""
    started = shown = time.monotonic()
    findings = done = 0
    streams: list[tuple[str, Transcript]] = []
    with Runner() as runner:
        for number, (name, dialogue) in enumerate(islice(dialogues(seed), count), 1):
            finding, transcript = runner.run(dialogue, name)
            done = number
            if finding is not None:
                findings += 1
                sys.stdout.write("\n" + report(finding, runner))
            elif len(streams) < real and number % max(1, count // max(1, real)) == 0 and not dialogue.hooked:
                streams.append((name, runner.ended(transcript)))
            if time.monotonic() - shown > PROGRESS_EVERY:
                shown = time.monotonic()
                sys.stdout.write(f"{number:,} of {count:,} dialogues in {shown - started:.0f} s, {findings} findings\n")
                sys.stdout.flush()
            if findings >= MOST_FINDINGS:
                break
        used = runner.used
        sys.stdout.write(
            f"seed {seed}: {done:,} dialogues, {runner.lines:,} lines, {runner.mails:,} mails that both took, "
            f"{used.total():,} differences explained by {len(used)} rules, {findings} findings\n"
        )
    for rule in RULES:
        sys.stdout.write(f"{used[rule.name]:>8,}  {rule.name}\n")
        if not used[rule.name] and done >= LONG_RUN:
            findings += 1
            sys.stdout.write("          was of no use: it explains nothing that happens, take it out\n")
    if streams:
        with tempfile.TemporaryDirectory() as directory, RealServer(Path(directory)) as server:
            wrong = compare_streams(server, streams)
        sys.stdout.write(f"on RoadRunner with two workers: {len(streams)} dialogues, {len(wrong)} findings\n")
        sys.stdout.writelines(f"{what}\n" for what in wrong)
        findings += len(wrong)
    return findings


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description="Compare with aiosmtpd.")
    parser.add_argument("--dialogues", type=int, default=1_000, metavar="N", help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of all chance; by default another one each time")
    parser.add_argument(
        "--roadrunner", type=int, default=None, metavar="N", help="how many of them on the real server too (every 20th)"
    )
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what hooks raise on purpose
    seed = secrets.randbelow(1_000_000) if args.seed is None else args.seed
    real = args.dialogues // ON_ROADRUNNER if args.roadrunner is None else args.roadrunner
    return 1 if run(args.dialogues, seed, real=real) else 0


if __name__ == "__main__":
    sys.exit(main())
