"""Every page of the documentation does what it says."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT, read_blocks
from tests.docs.page import PageRunner

pytest_plugins = ["rr_tcp.testing.fixtures"]


@pytest.mark.parametrize("path", PAGES, ids=[str(path.relative_to(ROOT / "docs")) for path in PAGES])
def test_a_reader_who_follows_the_page_gets_what_it_promises(path: Path, tmp_path: Path, rr_binary: Path) -> None:
    with closing(PageRunner(tmp_path, rr_binary)) as runner:
        for block in read_blocks(path):
            runner.run(block)
