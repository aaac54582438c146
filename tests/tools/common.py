"""What the tests of the server have in common."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = (ROOT / "tools/rr/VERSION").read_text().strip()
WAIT = 20.0  # seconds until a condition that is awaited counts as never coming


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT} s for {what}"
        time.sleep(0.01)
