"""One project with every service of docker-compose.yml, of all profiles, for all tests that change nothing in it."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.containers.project import DEAD_ENDS, PROJECT, Project, running


@pytest.fixture(scope="session")
def everything(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """All services, running and healthy."""
    secret = tmp_path_factory.mktemp("secrets") / "webhook"
    secret.write_text(f"whsec_{base64.b64encode(bytes(32)).decode()}")
    secret.chmod(0o644)  # the containers' user reads it
    terminal = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert terminal is not None
    project = Project(f"{PROJECT}-all", profiles=["*"], env={**DEAD_ENDS, "WEBHOOK_SECRET_FILE": str(secret)})
    with terminal.global_and_fixture_disabled():  # building images takes minutes: whoever waits sees the progress
        context = running(project)
        context.__enter__()
    try:
        yield project
    finally:
        with terminal.global_and_fixture_disabled():
            context.__exit__(None, None, None)
