"""What a fault is: what is done to a running stack, in which cases, and what came of it."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class FaultError(Exception):
    """A case could not be run to its end, which is no proof of anything."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case.

    Attributes:
        figures: what was measured, by its name, as text for a table. All cases of a fault have the same names.
        findings: what does not hold, a sentence for each; none when all holds.
    """

    figures: Mapping[str, str]
    findings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a case is given.

    Attributes:
        directory: an empty one.
        seed: of everything that is random.
        title: what progress is about.
        limit: seconds that the case may take.
        interrupted: raises when somebody wants us to end.
        started: when the case began, in seconds that never jump.
    """

    directory: Path
    seed: int
    title: str
    limit: float
    interrupted: Callable[[], None] = lambda: None
    started: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Returns while the case may go on; call it wherever it waits.

        Raises:
            FaultError: its time is over.
            Interrupted: somebody wants us to end.
        """
        self.interrupted()
        if time.monotonic() - self.started > self.limit:
            raise FaultError(f"not done after {self.limit:g} s")

    def pause(self, seconds: float) -> None:
        """Waits, unless the case is over; errors as with `check`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            time.sleep(min(left, 0.1))

    def say(self, text: str) -> None:
        """Tells whoever waits how far the case is."""
        sys.stderr.write(f"faults: {self.title}: {text}\n")
        sys.stderr.flush()


def median_and_longest(seconds: Sequence[float]) -> str:
    """As text for a figure, e.g. `0.25 s, 0.31 s`."""
    return f"{statistics.median(seconds):.2f} s, {max(seconds):.2f} s" if seconds else "-"


class Run(Protocol):
    """Provokes a fault in a stack of its own, and ends all it started whatever happens."""

    def __call__(self, surroundings: Surroundings) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class Case:
    """A fault on one kind of stack.

    Attributes:
        name: unlike that of the fault's other cases.
        run: does it.
        limit: seconds after which it is given up.
        alone: whether it runs while no other case does, since it measures how long things take.
    """

    name: str
    run: Run
    limit: float
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault.

    Attributes:
        id: e.g. `F1`.
        title: what happens.
        holds: what must hold all the same.
        cases: all of them, or for True a choice, or shorter ones, that take a minute together.
    """

    id: str
    title: str
    holds: str
    cases: Callable[[bool], Sequence[Case]]
