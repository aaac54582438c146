"""What was measured, as ratios to the ceiling of the same round, and their table."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.contenders import WORKERS, Contender
from bench.programs import Scenario

MIN_ROUNDS = 3
"""Rounds from which on a median says something of a target."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A contender's speed as a part of the ceiling's.

    Attributes:
        median: over all rounds.
        lowest: of one round.
        highest: of one round.
    """

    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.lowest:.2f} to {self.highest:.2f})"


@dataclass(frozen=True, slots=True)
class Results:
    """The measurements of a run.

    Attributes:
        contenders: the first is the ceiling.
        scenarios: what each of them had to do.
        rates: round trips per second by scenario and contender, one per round.
    """

    contenders: Sequence[Contender]
    scenarios: Sequence[Scenario]
    rates: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, scenario: Scenario, contender: Contender, rate: float) -> float:
        """Adds one measurement; returns its ratio to the ceiling of its round, which must have been added before."""
        rates = self.rates.setdefault((scenario.title, contender.name), [])
        rates.append(rate)
        return rate / self._ceiling(scenario)[len(rates) - 1]

    @property
    def rounds(self) -> int:
        """How many rounds are complete."""
        return min((len(rates) for rates in self.rates.values()), default=0)

    def ratio(self, scenario: Scenario, contender: Contender) -> Ratio:
        """Against the ceiling, round by round: what slows the machine down for a while slows both."""
        pairs = zip(self.rates[scenario.title, contender.name], self._ceiling(scenario), strict=True)
        ratios = [rate / ceiling for rate, ceiling in pairs]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios))

    def ceiling_rate(self, scenario: Scenario) -> float:
        """Median round trips per second of the ceiling."""
        return statistics.median(self._ceiling(scenario))

    def _ceiling(self, scenario: Scenario) -> list[float]:
        return self.rates[scenario.title, self.contenders[0].name]


def markdown(results: Results) -> str:
    """The table, with a note on the machine."""
    ceiling, *others = results.contenders
    header = ["", *(scenario.title for scenario in results.scenarios), "target"]
    rows = [[ceiling.title, *(f"{results.ceiling_rate(scenario):,.0f}/s" for scenario in results.scenarios), ""]]
    for contender in others:
        ratios = [str(results.ratio(scenario, contender)) for scenario in results.scenarios]
        rows.append([contender.title, *ratios, _verdict(results, contender)])
    lines = [header, ["---"] * len(header), *rows]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return f"{table}\n\n{machine(results)}\n"


def machine(results: Results) -> str:
    """Where and how the numbers came about."""
    return (
        f"Rounds: {results.rounds}; medians (lowest to highest); the first row in round trips per second, the others "
        f"as ratios to it. {os.cpu_count()} cores, the load generator included; {WORKERS} workers; "
        f"{platform.python_implementation()} {platform.python_version()}; {platform.system()} {platform.machine()}."
    )


def target_scenario(results: Results) -> Scenario:
    """Where the targets apply: the most clients at the same time."""
    return max(results.scenarios, key=lambda scenario: scenario.connections)


def _verdict(results: Results, contender: Contender) -> str:
    if contender.target is None:
        return ""
    scenario = target_scenario(results)
    if results.rounds < MIN_ROUNDS:
        return f"{contender.target:g} at {scenario.title}: too few rounds to say"
    missing = contender.target - results.ratio(scenario, contender).median
    verdict = "met" if missing <= 0 else f"missed by {missing:.2f}"
    return f"{contender.target:g} at {scenario.title}: {verdict}"
