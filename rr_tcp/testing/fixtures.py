"""Fixtures for pytest: `pytest_plugins = ["rr_tcp.testing.fixtures"]` in a conftest.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rr_tcp.server import find_server
from rr_tcp.testing.server import ServedApp, serve_app


@pytest.fixture(scope="session")
def rr_binary() -> Path:
    """The RoadRunner server; a test that needs it fails where there is none."""
    return find_server()


@pytest.fixture
def serve(rr_binary: Path, tmp_path: Path) -> Iterator[Callable[..., ServedApp]]:
    """Starts the real server, on free ports, with an App: `serve("package.module:build_app", "chat")`.

    It takes what `serve_app` takes, and may be called more than once; everything ends with the test.
    """
    with ExitStack() as stack:

        def start(app: str, *servers: str, **options: Any) -> ServedApp:
            directory = tmp_path / f"server-{len(list(tmp_path.glob('server-*')))}"
            directory.mkdir()
            return stack.enter_context(serve_app(app, *servers, binary=rr_binary, directory=directory, **options))

        yield start
