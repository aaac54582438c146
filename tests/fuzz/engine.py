"""One target under libFuzzer: `python -m tests.fuzz.engine NAME [libFuzzer's arguments]`.

What the target leads to is instrumented, so that inputs that reach new code are kept and changed further. Memory is
limited: code that allocates what a header announces, and not what came, fails with MemoryError.
"""

from __future__ import annotations

import logging
import resource
import sys

import atheris

MEMORY = 256 * 1024 * 1024
"""Bytes for the interpreter, the corpus and the code under test."""

with atheris.instrument_imports(include=["rr_tcp", "services"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Runs until libFuzzer ends the process: 0 after its time, else an input was found."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
