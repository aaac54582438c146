from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.smtp import MailStore, open_mail_store


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Names a store that does not exist yet, of each kind."""
    return f"sqlite:///{tmp_path}/new/mail.db"


@pytest.fixture
def store(url: str) -> Iterator[MailStore]:
    """A store of each kind."""
    with contextlib.closing(open_mail_store(url)) as opened:
        yield opened


@pytest.fixture
def other(url: str) -> Iterator[MailStore]:
    """The same store as another process has it."""
    with contextlib.closing(open_mail_store(url)) as opened:
        yield opened
