"""Waiting for a condition: no test sleeps and hopes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

TIMEOUT: Final = 30.0
"""Seconds until a condition must hold, on a slow machine under load."""


def wait_until(condition: Callable[[], bool], what: str = "the condition", *, timeout: float = TIMEOUT) -> None:
    """Waits until `condition` holds, and fails when it does not come."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {timeout:g} s"
        time.sleep(0.01)


def first_answer(call: Callable[[], T], refused: type[Exception], what: str = "an answer") -> T:
    """What `call` returns as soon as it is not refused any more: right or wrong, it is not asked again."""
    answers: list[T] = []

    def answered() -> bool:
        with contextlib.suppress(refused):
            answers.append(call())
        return bool(answers)

    wait_until(answered, what)
    return answers[0]
