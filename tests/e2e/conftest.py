"""`--target` chooses the stack; its log is shown when a test failed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.targets import Target, compose, native


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("end-to-end tests")
    group.addoption("--target", choices=["native", "compose"], default="native", help="the stack to test")
    group.addoption("--compose-project", default="rr-tcp-e2e", help="Compose project name, torn down with its volumes")


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One running stack for all tests: they tell their mails apart by addresses of their own."""
    failed = request.session.testsfailed
    running: contextlib.AbstractContextManager[Target]
    if request.config.getoption("--target") == "compose":
        running = compose(request.config.getoption("--compose-project"))
    else:
        running = native(tmp_path_factory.mktemp("stack"))
    with running as target:
        yield target
        if request.session.testsfailed > failed and sys.__stderr__ is not None:
            sys.__stderr__.write(f"\n--- the stack's log ---\n{target.log()}\n")
