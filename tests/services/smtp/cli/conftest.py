from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.smtp import MailStore, open_mail_store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mail.db"


@pytest.fixture
def store(url: str) -> Iterator[MailStore]:
    """An empty store."""
    with contextlib.closing(open_mail_store(url)) as opened:
        opened.open()
        yield opened
