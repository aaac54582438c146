"""F9: inputs that a fuzzer makes up, and random dialogues beside a model while stores fail and workers die.

Both are programs of their own, with more to say: `make fuzz` and `make fuzz-smtp`. Here they run for a bounded time.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tests.faults.fault import Case, Fault, Outcome, Surroundings
from tests.fuzz.targets import TARGETS

ROOT: Final = Path(__file__).resolve().parents[2]

EACH: Final = 6
"""Seconds for each target; it takes as long again until it is started."""

QUICK_TARGETS: Final = ("frames", "lines", "echo", "smtp")
"""The frame decoder, the line splitter, the JSON decoder, the SMTP engine; one second each."""

MODEL, QUICK_MODEL = 60, 5
"""Seconds for the dialogues beside the model."""

CASE_LIMIT: Final = 900.0

_NOISE: Final = ("INFO: ", "WARNING: Failed to find function")
"""How the lines of a fuzzer that found something begin which say nothing of it."""

_FUZZED: Final = re.compile(r"^(\w+) +([\d,]+) inputs in \d+ s, (\d+) edges, \d+ kept, nothing found$", re.MULTILINE)
_MODELLED: Final = re.compile(r"^seed (\d+): ([\d,]+) worlds, nothing found$", re.MULTILINE)
_HAPPENED: Final = re.compile(r"^ *([\d,]+)  (.+)$", re.MULTILINE)


def cases(quick: bool) -> Sequence[Case]:
    """All targets, and a minute beside the model; or four of them for a second each, and five seconds."""
    targets, each = (QUICK_TARGETS, 1) if quick else (tuple(TARGETS), EACH)
    return [
        Case("fuzzer", partial(fuzz, targets, each), CASE_LIMIT),
        Case("model", partial(model, QUICK_MODEL if quick else MODEL), CASE_LIMIT),
    ]


def fuzz(targets: Sequence[str], each: int, surroundings: Surroundings) -> Outcome:
    """One target after the other."""
    arguments = ["tests.fuzz", "--seconds", str(each * len(targets)), *targets]
    return judge_fuzzer(targets, *_run(arguments, surroundings))


def model(seconds: int, surroundings: Surroundings) -> Outcome:
    """World after world."""
    arguments = ["tests.differential.model", "--seconds", str(seconds), "--seed", str(surroundings.seed)]
    return judge_model(*_run(arguments, surroundings))


def judge_fuzzer(targets: Sequence[str], code: int, output: str) -> Outcome:
    """What a run of the fuzzer says; a target of which it says nothing is a finding."""
    done = {name: (int(inputs.replace(",", "")), edges) for name, inputs, edges in _FUZZED.findall(output)}
    findings = [f"{name}: the fuzzer does not say that it found nothing" for name in targets if name not in done]
    findings += [f"{name}: the fuzzer tried no input" for name, (inputs, _) in done.items() if not inputs]
    if code:
        findings.append(f"the fuzzer ended with {code}: {output[-2000:]}")
    figures = {
        "targets": f"{len(done)}: {', '.join(done)}",
        "inputs": f"{sum(inputs for inputs, _ in done.values()):,}",
        "found": "see below" if findings else "nothing",
    }
    return Outcome(figures, findings)


def judge_model(code: int, output: str) -> Outcome:
    """What a run beside the model says."""
    findings, said = [], _MODELLED.search(output)
    happened = {what: times for times, what in _HAPPENED.findall(output)}
    if code or said is None:
        findings.append(f"the model ended with {code}: {output[-2000:]}")
    if "mails acknowledged" not in happened:
        findings.append("no mail was acknowledged: nothing was tested")
    names = ("mails acknowledged", "a worker died", "the session store failed", "a session expired")
    figures = {
        "worlds": said[2] if said else "-",
        **{name: happened.get(name, "0") for name in names},
        "found": "see below" if findings else "nothing",
    }
    return Outcome(figures, findings)


def _run(arguments: Sequence[str], surroundings: Surroundings) -> tuple[int, str]:
    """The exit code and the output of a module; it and what it started end with the case."""
    path = surroundings.directory / "output"
    with path.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=ROOT, stdout=output, stderr=output, start_new_session=True
        )
    told = 0
    try:
        while True:
            try:
                return process.wait(0.2), path.read_text(errors="replace")
            except subprocess.TimeoutExpired:
                surroundings.check()
            lines = path.read_text(errors="replace").splitlines()
            for line in lines[told:]:
                if not line.startswith(_NOISE):
                    surroundings.say(line)
            told = len(lines)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


FAULT: Final = Fault(
    id="F9",
    title="Input that a fuzzer makes up, and random dialogues beside a model",
    holds=(
        "no input breaks a rule of its target; the service never contradicts the model, and every acknowledged mail is "
        "stored once"
    ),
    cases=cases,
)
