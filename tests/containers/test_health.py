"""The image's healthcheck: unhealthy while the workers answer nobody, healthy again when they do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest

from tests.containers.project import PROJECT, ROOT, START_TIMEOUT, docker, inspect
from tests.support.waiting import wait_until

CHANGE_TIMEOUT = 120.0
"""Seconds until a change shows, on a machine with little to spare: above exec_ttl of 20 s, which ends hung workers."""

PARTS: Mapping[str, tuple[Sequence[str], str]] = {
    "all": ((), ""),
    "smtp": (("rr", "serve", "-w", "/app", "-c", "deploy/split/smtp.rr.yaml"), "smtp=127.0.0.1:1025"),
    "echo": (("rr", "serve", "-w", "/app", "-c", "deploy/split/echo.rr.yaml"), "line=127.0.0.1:8889"),
}
"""Commands of the image, and what its healthcheck asks, by the services that run."""

SIGNAL_WORKERS = """
import os, pathlib, sys
found = 0
for directory in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        command = (directory / "cmdline").read_bytes().split(b"\\0")
    except OSError:
        continue
    if command[1:4] == [b"-m", b"rr_tcp", b"worker"]:
        os.kill(int(directory.name), int(sys.argv[1]))
        found += 1
print(found)
"""


@dataclass(frozen=True)
class Container:
    """One of the image, alone, as hardened as Compose's."""

    name: str

    def health(self) -> str:
        status: str = inspect(self.name)["State"]["Health"]["Status"]
        return status

    def signal_workers(self, number: int) -> int:
        """Sends all workers a signal; returns how many there were."""
        return int(docker("exec", self.name, "python", "-c", SIGNAL_WORKERS, str(number)).stdout)


@pytest.fixture(scope="module")
def image() -> str:
    name = f"{PROJECT}-health"
    command = ["docker", "build", "--quiet", "--tag", name]
    for secret, path in (("pip_conf", os.environ.get("PIP_CONF")), ("ca_bundle", os.environ.get("CA_BUNDLE"))):
        command += ["--secret", f"id={secret},src={path}"] if path else []
    for argument in ("RR_IMAGE", "PYTHON_IMAGE"):
        command += ["--build-arg", argument] if argument in os.environ else []
    subprocess.run([*command, str(ROOT)], check=True, stdout=subprocess.DEVNULL, timeout=START_TIMEOUT)
    return name


@pytest.fixture
def container(request: pytest.FixtureRequest, image: str) -> Iterator[Container]:
    """Asked more often than usual, so that the tests need not wait as long."""
    command, probes = PARTS[request.param]
    name = f"{PROJECT}-health-{request.param}"
    docker("rm", "--force", name)
    options = ["--init", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"]
    options += ["--network", "none", "--tmpfs", "/tmp:size=64m,mode=1777", "--memory", "1g", "--pids-limit", "256"]  # noqa: S108  # the container's own
    options += ["--tmpfs", "/var/lib/mail:uid=10001,gid=10001,mode=0750"]
    options += ["--env", "SESSION_STORE=rrkv://sessions", "--env", f"PROBES={probes}"]
    options += ["--health-interval", "1s", "--health-retries", "2"]
    docker("run", "--detach", "--name", name, *options, image, *command)
    try:
        yield Container(name)
    finally:
        docker("rm", "--force", name)


@pytest.mark.parametrize("container", PARTS, indirect=True)
def test_a_container_whose_workers_hang_is_unhealthy_until_they_are_replaced(container: Container) -> None:
    wait_until(lambda: container.health() == "healthy", "health", timeout=CHANGE_TIMEOUT)
    stopped = 0

    def unhealthy() -> bool:
        nonlocal stopped
        if container.health() == "unhealthy":
            return True
        stopped += container.signal_workers(19)  # SIGSTOP; also those that RoadRunner starts meanwhile
        return False

    wait_until(unhealthy, "an unhealthy container", timeout=CHANGE_TIMEOUT)
    assert stopped >= 2
    wait_until(lambda: container.health() == "healthy", "health again", timeout=CHANGE_TIMEOUT)
    assert inspect(container.name)["RestartCount"] == 0
    assert inspect(container.name)["State"]["Running"]


@pytest.mark.parametrize("container", ["smtp"], indirect=True)
def test_the_probe_says_what_is_wrong(container: Container) -> None:
    wait_until(lambda: container.health() == "healthy", "health", timeout=CHANGE_TIMEOUT)
    asked = docker(
        "exec", "--env", "PROBES=line=127.0.0.1:8889", container.name, "sh", "-c", healthcheck(container), check=False
    )
    assert asked.returncode == 1
    assert "rr-tcp probe: " in asked.stderr


def healthcheck(container: Container) -> str:
    """The command that Docker runs."""
    [shell, command] = inspect(container.name)["Config"]["Healthcheck"]["Test"]
    assert shell == "CMD-SHELL"
    return str(command)
