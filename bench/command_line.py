"""What the benchmarks' commands have in common: progress, errors, and an end by signal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

from bench.programs import ROOT
from rr_tcp.errors import RRTcpError

OUTPUT: Final = ROOT / "bench" / "results"
"""Where results are written unless somebody names another directory."""


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def exit_code(benchmark: Callable[[], None]) -> int:
    """Runs a benchmark; 0 it ran, 1 it failed with the reason on stderr, 130 a signal ended it and what it started."""
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a background job may ignore it
        signal.signal(number, _interrupt)
    try:
        benchmark()
    except (RRTcpError, OSError) as error:
        sys.stderr.write(f"bench: {error}\n" + "".join(f"{note}\n" for note in getattr(error, "__notes__", ())))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is signal's
    raise KeyboardInterrupt
