"""What was measured, as ratios to the baseline of the same round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.results import Ratio
from bench.smtp.contenders import Contender
from bench.smtp.scenarios import MB, Scenario


@dataclass(frozen=True, slots=True)
class Measurement:
    """One turn of one contender.

    Attributes:
        rate: mails per second.
        cpu: seconds of processor time per mail, of everything that works for the contender.
        peak: the largest resident memory of one of its workers, bytes.
    """

    rate: float
    cpu: float
    peak: int


@dataclass(frozen=True, slots=True)
class Results:
    """The measurements of a run.

    Attributes:
        contenders: the first is the baseline.
        scenarios: what each of them had to do.
        big: the scenarios with big mails; the first has the smallest.
        measurements: by scenario and contender, one per round.
        flushes: seconds that the disk took to flush 4 kB, measured in between.
        load: processes that had something to do on the machine before the run began (load average).
    """

    contenders: Sequence[Contender]
    scenarios: Sequence[Scenario]
    big: Sequence[Scenario]
    measurements: dict[tuple[Scenario, str], list[Measurement]] = field(default_factory=dict)
    flushes: list[float] = field(default_factory=list)
    load: float = 0.0

    def add(self, scenario: Scenario, contender: Contender, measurement: Measurement) -> None:
        """Adds a turn."""
        self.measurements.setdefault((scenario, contender.name), []).append(measurement)

    @property
    def rounds(self) -> int:
        """How many rounds are complete."""
        return min((len(turns) for turns in self.measurements.values()), default=0)

    def speed(self, scenario: Scenario, contender: Contender) -> Ratio:
        """Mails per second, against the baseline."""
        return _ratio(self._of(scenario, contender), self._of(scenario, self.contenders[0]), lambda turn: turn.rate)

    def cost(self, scenario: Scenario, contender: Contender) -> Ratio:
        """Processor time per mail, against the baseline."""
        return _ratio(self._of(scenario, contender), self._of(scenario, self.contenders[0]), lambda turn: turn.cpu)

    def growth(self, scenario: Scenario, contender: Contender) -> Ratio:
        """Time per byte against that of the smallest of the big mails: 1 where time is in proportion to the size."""
        smallest = self._of(self.big[0], contender)
        factor = self.big[0].size / scenario.size
        return _ratio(self._of(scenario, contender), smallest, lambda turn: 1 / turn.rate, factor)

    def rate(self, scenario: Scenario, contender: Contender) -> float:
        """Mails per second, the median."""
        return statistics.median(turn.rate for turn in self._of(scenario, contender))

    def cpu(self, scenario: Scenario, contender: Contender) -> float:
        """Seconds of processor time per mail, the median."""
        return statistics.median(turn.cpu for turn in self._of(scenario, contender))

    def per_megabyte(self, scenario: Scenario, contender: Contender) -> float:
        """Seconds per megabyte of mail, the median."""
        return statistics.median(MB / scenario.size / turn.rate for turn in self._of(scenario, contender))

    def peak(self, scenario: Scenario, contender: Contender) -> int:
        """The largest resident memory of a worker in any round, bytes."""
        return max(turn.peak for turn in self._of(scenario, contender))

    def _of(self, scenario: Scenario, contender: Contender) -> list[Measurement]:
        return self.measurements[scenario, contender.name]


def _ratio(
    turns: Sequence[Measurement],
    baseline: Sequence[Measurement],
    value: Callable[[Measurement], float],
    factor: float = 1,
) -> Ratio:
    """Round by round: what slows the machine down for a while slows both."""
    ratios = [factor * value(turn) / value(base) for turn, base in zip(turns, baseline, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))
