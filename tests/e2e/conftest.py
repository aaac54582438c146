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
    terminal = request.config.pluginmanager.getplugin("capturemanager")
    assert terminal is not None
    failed = request.session.testsfailed
    with contextlib.ExitStack() as stack:
        with terminal.global_and_fixture_disabled():  # building images takes minutes: whoever waits sees the progress
            target = stack.enter_context(_running(request.config, tmp_path_factory))
        yield target
        with terminal.global_and_fixture_disabled():
            if request.session.testsfailed > failed:
                sys.stderr.write(f"\n--- the stack's log ---\n{target.log()}\n--- end of the stack's log ---\n")
            stack.close()


def _running(
    config: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> contextlib.AbstractContextManager[Target]:
    if config.getoption("--target") == "compose":
        return compose(config.getoption("--compose-project"))
    return native(tmp_path_factory.mktemp("stack"))
