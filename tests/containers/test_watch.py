"""`docker compose watch` with compose.dev.yml: code that is saved answers on the connections that are open."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.containers.project import PROJECT, START_TIMEOUT, Project, copy_clone, inspect
from tests.support.waiting import wait_until

SYNC_TIMEOUT = 120.0
"""Seconds from a file that is saved to new workers, on a machine with little to spare."""

ECHO_PORT = "8889"
ANSWER = 'return {"body": '
EDITED = 'return {"edited": "yes", "body": '
BROKEN = "return {{ "
"""What the tests edit in the echo's protocol."""


@dataclass(frozen=True)
class Watched:
    """A clone whose changes Compose brings into the container.

    Attributes:
        project: what runs.
        output: what `docker compose watch` says.
    """

    project: Project
    output: Path

    def edit(self, old: str, new: str) -> None:
        path = self.project.root / "services/echo/protocol.py"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def log(self) -> str:
        return self.project.compose("logs", "--no-color", "stack")

    def address(self) -> tuple[str, int]:
        host, _, port = self.project.compose("port", "stack", ECHO_PORT).strip().partition(":")
        return host, int(port)


def is_healthy(project: Project) -> bool:
    status: str = inspect(project.container("stack"))["State"]["Health"]["Status"]
    return status == "healthy"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp("watch")
    clone, output = directory / "clone", directory / "watch.log"
    copy_clone(clone)
    files = f"{os.environ.get('COMPOSE_FILE', 'docker-compose.yml')}:compose.dev.yml"
    project = Project(f"{PROJECT}-dev", env={"COMPOSE_FILE": files}, root=clone)
    down = ("down", "--volumes", "--remove-orphans", "--timeout", "45")
    project.compose(*down)
    with output.open("wb") as log:
        watch = subprocess.Popen(
            [*project.command(), "watch"],
            cwd=clone,
            env=project.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: "Watch enabled" in output.read_text() or watch.poll() is not None, timeout=START_TIMEOUT)
        assert watch.poll() is None, output.read_text()
        wait_until(lambda: is_healthy(project), "a healthy stack", timeout=SYNC_TIMEOUT)
        wait_until(lambda: "autoreload: changes of" in project.compose("logs", "stack"), timeout=SYNC_TIMEOUT)
        yield Watched(project, output)
    finally:
        watch.terminate()
        watch.wait()
        # Compose leaves its lock behind, with a pid that may be another process's when the next run looks.
        docker = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
        (docker / "docker-compose" / f"{project.name}.pid").unlink(missing_ok=True)
        project.compose(*down)


def test_saved_code_answers_on_open_connections_and_broken_code_is_not_taken(watched: Watched) -> None:
    with socket.create_connection(watched.address(), SYNC_TIMEOUT) as client:
        answers = client.makefile("rb")

        def ask() -> dict[str, Any]:
            client.sendall(b"hello\n")
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

        asked = [ask() for _ in range(4)]
        watched.edit(ANSWER, EDITED)

        def answered_anew() -> bool:
            asked.append(ask())
            return "edited" in asked[-1]

        wait_until(answered_anew, "the new code", timeout=SYNC_TIMEOUT)
        assert [answer["seq"] for answer in asked] == list(range(1, len(asked) + 1))
        assert {answer["uuid"] for answer in asked} == {asked[0]["uuid"]}
        assert asked[-1]["worker"] not in {answer["worker"] for answer in asked if "edited" not in answer}

        watched.edit(EDITED, BROKEN)
        wait_until(lambda: "the old workers go on" in watched.log(), "a word of the error", timeout=SYNC_TIMEOUT)
        assert "SyntaxError" in watched.log()
        answer = ask()
        assert (answer["seq"], answer["edited"], answer["uuid"]) == (len(asked) + 1, "yes", asked[0]["uuid"])


def test_only_the_stack_for_development_can_be_written_to(watched: Watched) -> None:
    """And that by its own user, which owns the code; all else is as hardened as it is."""
    host = inspect(watched.project.container("stack"))["HostConfig"]
    assert (host["ReadonlyRootfs"], host["CapDrop"]) == (False, ["ALL"])
    assert watched.project.exec("stack", "touch", "/app/services/new").returncode == 0
    assert watched.project.exec("stack", "touch", "/usr/new").returncode != 0
    assert inspect(watched.project.container("redis"))["HostConfig"]["ReadonlyRootfs"]
