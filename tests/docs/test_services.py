"""The services of pages that need no server to show how they behave start in one all the same."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from rr_tcp.cli.check import check_app
from rr_tcp.cli.loading import AppReference
from rr_tcp.testing import ServedApp
from tests.docs.blocks import PAGES, ROOT, Block, read_blocks
from tests.docs.page import SERVER_TERMINAL
from tests.support.waiting import wait_until

pytest_plugins = ["rr_tcp.testing.fixtures"]

_APP = re.compile(r"^(?:def )?(build_app|app)\b(?:\(\) -> App:$| = App\()", re.MULTILINE)


def services() -> list[Block]:
    found = []
    for path in PAGES:
        blocks = read_blocks(path)
        if not any(block.title == SERVER_TERMINAL for block in blocks):
            found += [block for block in blocks if block.title.endswith(".py") and _APP.search(block.text)]
    return found


@pytest.mark.parametrize("block", services(), ids=lambda block: block.title)
def test_a_service_starts_in_the_real_server(block: Block, serve: Callable[..., ServedApp], tmp_path: Path) -> None:
    text = block.text.replace("lmdb:///dev/shm/", f"lmdb://{tmp_path}/")
    (tmp_path / block.title).write_text(text)
    match = _APP.search(text)
    assert match is not None
    app = f"{tmp_path / block.title}:{match[1]}"
    env = {"PYTHONPATH": str(ROOT)}
    names = check_app(AppReference.parse(app), {**os.environ, **env})
    served = serve(app, *names, cwd=tmp_path, env=env)
    wait_until(lambda: len(served.pids()) == 2, "two workers")
    assert "Traceback" not in served.log.read_text()


def test_there_are_such_services() -> None:
    assert {"clock.py", "shelf.py", "resolver.py", "digest.py", "guarded.py"} <= {block.title for block in services()}
