"""The distributions, built as for a release, and an environment with nothing but the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytest_plugins = ["rr_tcp.testing.fixtures"]


def run(command: Sequence[str | Path], cwd: Path) -> str:
    """Runs a command as a user would, without this repository on the path; returns its output."""
    env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(command, cwd=cwd, env=env, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def build(project: Path, target: str, directory: Path) -> Path:
    """Builds one distribution."""
    run([sys.executable, "-m", "hatchling", "build", "-t", target, "-d", directory], project)
    [built] = directory.iterdir()
    return built


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the repository."""
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    directory = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build(ROOT, "sdist", tmp_path_factory.mktemp("packed"))) as archive:
        archive.extractall(directory, filter="data")
    [project] = directory.iterdir()
    return project


@pytest.fixture(scope="session")
def user_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment into which only the wheel was installed, with what it asks for."""
    return install(str(wheel), tmp_path_factory.mktemp("user"))


@pytest.fixture(scope="session")
def lmdb_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the extra `lmdb`."""
    return install(f"{wheel}[lmdb]", tmp_path_factory.mktemp("lmdb-user"))


def install(requirement: str, directory: Path) -> Path:
    """The interpreter of a new environment with the requirement alone."""
    uv = [sys.executable, "-m", "uv"]
    run([*uv, "venv", "--quiet", "--python", sys.executable, "env"], directory)
    python = directory / "env/bin/python"
    run([*uv, "pip", "install", "--quiet", "--python", python, requirement], directory)
    return python
