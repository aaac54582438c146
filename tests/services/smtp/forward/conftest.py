from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.smtp.forward.harness import Mails
from tests.services.smtp.forward.smarthost import Sink, running_sink


@pytest.fixture
def mails(tmp_path: Path) -> Iterator[Mails]:
    """A store with a queue."""
    with contextlib.closing(Mails(f"sqlite:///{tmp_path}/mail.db")) as opened:
        yield opened


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A smarthost that takes everything, until it is told otherwise."""
    with running_sink() as running:
        yield running


@pytest.fixture
def info(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log, from INFO on."""
    caplog.set_level("INFO", "services")
    return caplog
