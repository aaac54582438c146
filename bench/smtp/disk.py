"""How long the disk takes to flush what was written: no durable mail can take less."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

_BLOCK: Final = bytes(4096)
_TIMES: Final = 50


def flush_seconds(directory: Path) -> float:
    """The median time of writing 4 kB over older ones and flushing them."""
    with tempfile.TemporaryFile(dir=directory) as file:
        descriptor = file.fileno()
        os.pwrite(descriptor, _BLOCK, 0)
        os.fsync(descriptor)
        return statistics.median(_flush(descriptor) for _ in range(_TIMES))


def _flush(descriptor: int) -> float:
    start = time.perf_counter()
    os.pwrite(descriptor, _BLOCK, 0)
    os.fdatasync(descriptor)
    return time.perf_counter() - start
