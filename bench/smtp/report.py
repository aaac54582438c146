"""The tables and the chart of a run."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from bench.chart import Group, Panel
from bench.results import MIN_ROUNDS
from bench.smtp.contenders import Contender
from bench.smtp.results import Results
from bench.smtp.scenarios import MB, TARGETS, Scenario, Target, size_title

_MS: Final = 1000


def markdown(results: Results, *, workers: int) -> str:
    """All tables, with a note on the machine."""
    sections = []
    if results.scenarios:
        sections += [
            _targets(results),
            _table(results, "mails per second", _speed_of_baseline, lambda *turn: str(results.speed(*turn))),
            _table(results, "processor time per mail", _cost_of_baseline, lambda *turn: _cost(results, *turn)),
        ]
    if results.big:
        sections += [_big(results)]
    return "\n\n".join([*sections, machine(results, workers=workers)]) + "\n"


def machine(results: Results, *, workers: int) -> str:
    """What the numbers were measured on."""
    flush = _MS * statistics.median(results.flushes)
    return (
        f"Rounds: {results.rounds}; medians (lowest to highest). A flush of the disk takes {flush:.2f} ms; the load "
        f"average before the run was {results.load:.1f}. {os.cpu_count()} cores, the load generator included; "
        f"{workers} workers; {platform.python_implementation()} {platform.python_version()}; {platform.system()} "
        f"{platform.machine()}."
    )


def panels(results: Results) -> Iterator[Panel]:
    """For the chart: a panel for each size of mails."""
    others = results.contenders[1:]
    for size in dict.fromkeys(scenario.size for scenario in results.scenarios):
        groups = [
            Group(
                (scenario.manner.split(", ")[0], scenario.manner.split(", ")[1], str(scenario.clients)),
                [results.speed(scenario, contender).median for contender in others],
            )
            for scenario in results.scenarios
            if scenario.size == size
        ]
        yield Panel(
            f"Mails of {size_title(size)}: mails per second as a ratio to {results.contenders[0].title}", groups
        )


def _speed_of_baseline(results: Results, scenario: Scenario) -> str:
    return f"{results.rate(scenario, results.contenders[0]):,.0f}/s"


def _cost_of_baseline(results: Results, scenario: Scenario) -> str:
    return f"{_MS * results.cpu(scenario, results.contenders[0]):.2f} ms"


def _cost(results: Results, scenario: Scenario, contender: Contender) -> str:
    return f"{results.cost(scenario, contender).median:.2f} ({_MS * results.cpu(scenario, contender):.2f} ms)"


def _table(
    results: Results,
    what: str,
    of_baseline: Callable[[Results, Scenario], str],
    of_other: Callable[[Scenario, Contender], str],
) -> str:
    """A row for each scenario, a column for each contender."""
    baseline, *others = results.contenders
    rows = [[what, baseline.title, *(contender.title for contender in others)]]
    for scenario in results.scenarios:
        cells = [of_other(scenario, contender) for contender in others]
        rows.append([scenario.title, of_baseline(results, scenario), *cells])
    return _lines(rows)


def _targets(results: Results) -> str:
    ours = [contender for contender in results.contenders if contender.ours]
    rows = [["target", *(contender.title for contender in ours)]]
    for target in TARGETS:
        if target.scenario in results.scenarios:
            verdicts = [_verdict(results, target, contender) for contender in ours]
            rows.append([f"{target.scenario.title}: {target.ratio:g}", *verdicts])
    return _lines(rows)


def _verdict(results: Results, target: Target, contender: Contender) -> str:
    ratio = results.speed(target.scenario, contender)
    if results.rounds < MIN_ROUNDS:
        return f"{ratio.median:.2f}: too few rounds to say"
    missing = target.ratio - ratio.median
    return f"{ratio.median:.2f}: {'met' if missing <= 0 else f'missed by {missing:.2f}'}"


def _big(results: Results) -> str:
    """A row for each contender: seconds per MB of the smallest, the others against it, and memory."""
    smallest, *larger = results.big
    sizes = [size_title(scenario.size) for scenario in results.big]
    rows = [["big mails", f"{sizes[0]}: time per MB", *(f"{size}: ratio to it" for size in sizes[1:])]]
    rows[0] += [f"a worker's peak memory, {size}" for size in sizes]
    for contender in results.contenders:
        row = [contender.title, f"{_MS * results.per_megabyte(smallest, contender):.0f} ms"]
        row += [str(results.growth(scenario, contender)) for scenario in larger]
        row += [f"{results.peak(scenario, contender) / MB:.0f} MB" for scenario in results.big]
        rows.append(row)
    return _lines(rows)


def _lines(rows: Sequence[Sequence[str]]) -> str:
    header, *others = rows
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *others))
