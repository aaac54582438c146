"""A Compose project of the repository's docker-compose.yml, under a name of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]

PROJECT: Final = os.environ.get("E2E_PROJECT", "rr-tcp-e2e")
"""What the names of all projects of these tests begin with: nobody's own, as they are torn down with their volumes."""

START_TIMEOUT: Final = 600.0
"""Seconds; images may have to be built."""

DEAD_ENDS: Final = {"RELAY_URL": "smtp://127.0.0.1:9", "WEBHOOK_URL": "http://127.0.0.1:9/"}
"""Where nobody listens: the consumers start and have nothing to do."""


@dataclass(frozen=True, slots=True)
class Project:
    """Calls Compose and Docker for one project.

    Attributes:
        name: of the project.
        profiles: which of the optional services take part; `*` is all.
        env: settings on top of this process's environment.
        root: the clone.
    """

    name: str
    profiles: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    root: Path = ROOT

    def compose(self, *args: str, shown: bool = False) -> str:
        """Runs `docker compose ARGS`; returns what it printed, unless that is shown to whoever waits."""
        return subprocess.run(
            [*self.command(), *args],
            cwd=self.root,
            env=self.environment(),
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=None if shown else subprocess.PIPE,
            text=True,
            timeout=START_TIMEOUT,
        ).stdout

    def command(self) -> list[str]:
        """How Compose is called for this project."""
        profiles = [part for profile in self.profiles for part in ("--profile", profile)]
        return ["docker", "compose", "--env-file", os.devnull, "--project-name", self.name, *profiles]

    def environment(self) -> dict[str, str]:
        """What Compose is called with; ports are free ones that Docker chooses."""
        return {**os.environ, **any_ports(), **(self.env or {})}

    def configuration(self) -> dict[str, Any]:
        """The services, with all that Compose fills in."""
        services: dict[str, Any] = json.loads(self.compose("config", "--format", "json"))["services"]
        return services

    def container(self, service: str) -> str:
        """The id of a running service's container."""
        return self.compose("ps", "--quiet", service).strip()

    def exec(self, service: str, *command: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command in a service's container; as its own user, or as another."""
        as_user = [] if user is None else ["--user", user]
        return docker("exec", *as_user, self.container(service), *command, check=False)


@contextlib.contextmanager
def running(project: Project, *options: str) -> Iterator[Project]:
    """The project's services, healthy, and removed with their volumes at the end.

    Args:
        project: what to run.
        options: more for `docker compose up`.
    """
    down = ("down", "--volumes", "--remove-orphans", "--timeout", "45")
    project.compose(*down, shown=True)  # what an earlier run that was killed left behind
    try:
        project.compose("up", "--detach", "--build", "--wait", *options, shown=True)
        yield project
    except BaseException:
        sys.stderr.write(project.compose("logs", "--no-color", "--tail", "200"))
        raise
    finally:
        project.compose(*down, shown=True)


def copy_clone(directory: Path) -> None:
    """Copies all that is under version control, or would be, as it is now."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, names.split("\0")):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, directory / name)


def any_ports() -> dict[str, str]:
    """The variables with the host's ports, all 0: Docker chooses free ones."""
    published = re.findall(r"\$\{(\w+_PORT):-\d+\}:\d+", (ROOT / "docker-compose.yml").read_text())
    return dict.fromkeys(published, "0")


def docker(*args: str, check: bool = True, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Runs `docker ARGS`."""
    return subprocess.run(
        ["docker", *args], check=check, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
    )


def inspect(container: str) -> dict[str, Any]:
    """What `docker inspect` says of a container or an image."""
    [found] = json.loads(docker("inspect", container).stdout)
    result: dict[str, Any] = found
    return result
