"""The report of a run: for each fault a table with the figures of its cases, and what does not hold."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.faults.fault import Fault, Outcome


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case and what came of it.

    Attributes:
        fault: which was provoked.
        case: its name.
        seed: of everything random in it.
        seconds: that it took.
        load: the machine's load average over the last minute of it.
        outcome: what came of it.
    """

    fault: Fault
    case: str
    seed: int
    seconds: float
    load: float
    outcome: Outcome


def markdown(results: Sequence[CaseResult]) -> str:
    """The report, one section for each fault."""
    faults = list({result.fault.id: result.fault for result in results}.values())
    sections = [_section(fault, [result for result in results if result.fault is fault]) for fault in faults]
    return "\n".join([*sections, _machine(), ""])


def write(results: Sequence[CaseResult], directory: Path) -> None:
    """Writes the report, and the figures for programs."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "fault": result.fault.id,
            "case": result.case,
            "seed": result.seed,
            "seconds": round(result.seconds, 1),
            "load": round(result.load, 1),
            "figures": dict(result.outcome.figures),
            "findings": list(result.outcome.findings),
        }
        for result in results
    ]
    (directory / "report.md").write_text(markdown(results))
    (directory / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(rows)) + b"\n")


def _section(fault: Fault, results: Sequence[CaseResult]) -> str:
    lines = [f"## {fault.id}: {fault.title}", "", f"Must hold: {fault.holds}.", ""]
    names = list(dict.fromkeys(name for result in results for name in result.outcome.figures))
    rows = [
        ["", *(result.case for result in results)],
        ["---"] * (1 + len(results)),
        ["holds", *("no" if result.outcome.findings else "yes" for result in results)],
        *([name, *(result.outcome.figures.get(name, "-") for result in results)] for name in names),
        ["seed, time, load", *(f"{result.seed}, {result.seconds:.0f} s, {result.load:.0f}" for result in results)],
    ]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    for result in results:
        lines += ["", *(f"- {result.case}: {finding}" for finding in result.outcome.findings)]
    return "\n".join(lines).rstrip() + "\n"


def _machine() -> str:
    return (
        f"{os.cpu_count()} cores, the clients included; load: how many processes ran or waited, on average; "
        f"{platform.python_implementation()} {platform.python_version()}; {platform.system()} {platform.machine()}."
    )
