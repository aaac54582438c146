"""The smallest dialogue that still shows what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tests.differential.dialogues import Dialogue, Step

MOST_RUNS: Final = 500
"""Dialogues tried for one finding: seconds."""


def shrink(dialogue: Dialogue, shows: Callable[[Dialogue], bool]) -> Dialogue:
    """Takes away hooks, then steps, then bytes of steps, as long as the dialogue `shows` it."""
    left = MOST_RUNS

    def still_shows(candidate: Dialogue) -> bool:
        nonlocal left
        left -= 1
        return left > 0 and shows(candidate)

    if dialogue.hooked and still_shows(replace(dialogue, hooked=False)):
        dialogue = replace(dialogue, hooked=False)
    dialogue = _without_runs(
        len(dialogue.steps),
        dialogue,
        lambda current, start, stop: replace(current, steps=current.steps[:start] + current.steps[stop:]),
        still_shows,
    )
    for index, step in enumerate(dialogue.steps):
        dialogue = _without_runs(len(step.data), dialogue, _bytes_of(index), still_shows)
    without_empty = replace(dialogue, steps=tuple(step for step in dialogue.steps if step.data))
    return without_empty if shows(without_empty) else dialogue


def _bytes_of(index: int) -> Callable[[Dialogue, int, int], Dialogue]:
    def without(current: Dialogue, start: int, stop: int) -> Dialogue:
        data, waits = current.steps[index]
        shorter = Step(data[:start] + data[stop:], waits)
        return replace(current, steps=(*current.steps[:index], shorter, *current.steps[index + 1 :]))

    return without


def _without_runs(
    length: int,
    dialogue: Dialogue,
    without: Callable[[Dialogue, int, int], Dialogue],
    shows: Callable[[Dialogue], bool],
) -> Dialogue:
    """The dialogue without the runs of items that it does not need, the long ones tried first."""
    size = length
    while size:
        start = 0
        while start < length:
            candidate = without(dialogue, start, min(start + size, length))
            if shows(candidate):
                length -= min(size, length - start)
                dialogue = candidate
            else:
                start += size
        size //= 2
    return dialogue
