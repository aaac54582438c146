"""Consumers as processes of their own, to be ended in every way."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.integration.conftest import ROOT
from tests.support.waiting import TIMEOUT, wait_until


class ConsumerProcess:
    """`python -m services.smtp relay` or `webhook`.

    Args:
        command: what follows the module on the command line.
        env: the settings.
        log: where its log goes on.
    """

    def __init__(self, command: list[str], env: Mapping[str, str], log: Path) -> None:
        self._log = log
        before = self._starts()
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.smtp", *command],
                cwd=ROOT,
                env={"ENV_FILE": os.devnull, "PATH": os.environ["PATH"], **env},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        wait_until(lambda: self._starts() > before or self.process.poll() is not None, "a consumer that runs")

    def _starts(self) -> int:
        return self._log.read_text().count("mails are handed on to") if self._log.exists() else 0

    def end(self, number: int) -> int:
        """Sends a signal and returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)

    def __str__(self) -> str:
        """Its log."""
        return self._log.read_text()


@contextlib.contextmanager
def consumer(command: list[str], env: Mapping[str, str], log: Path) -> Iterator[ConsumerProcess]:
    """A consumer, which is killed at the end of the block if it still runs."""
    started = ConsumerProcess(command, env, log)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()
