"""`scripts/get-toxiproxy` takes the first way to the proxy that tools/toxiproxy names."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.tools.common import ROOT

VERSION = re.findall(r"toxiproxy/v2 v([\d.]+)", (ROOT / "tools/toxiproxy/go.mod").read_text())[0]

# What the script itself needs. Nothing of this is a way to the proxy.
TOOLS = ("bash", "basename", "dirname", "head", "ln", "mkdir", "mv", "rm", "sed")


def write_proxy(path: Path, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho toxiproxy-server version {version}\n")
    path.chmod(0o755)
    return path


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy of what the script reads, and a PATH on which no way to the proxy exists."""

    root: Path
    path: Path

    @property
    def binary(self) -> Path:
        return self.root / "bin/toxiproxy-server"

    def get(self, **env: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.path / "bash"), str(self.root / "scripts/get-toxiproxy")]
        env = {"PATH": str(self.path), **env}
        return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, path = tmp_path / "a check out", tmp_path / "path"
    (root / "scripts").mkdir(parents=True)
    shutil.copy2(ROOT / "scripts/get-toxiproxy", root / "scripts")
    shutil.copytree(ROOT / "tools/toxiproxy", root / "tools/toxiproxy")
    path.mkdir()
    for tool in TOOLS:
        where = shutil.which(tool)
        assert where, f"{tool} is not on PATH"
        (path / tool).symlink_to(where)
    return Checkout(root, path)


def test_with_no_way_to_the_proxy_the_error_names_the_two(checkout: Checkout) -> None:
    result = checkout.get()
    assert result.returncode == 1
    assert "TOXIPROXY_BINARY" in result.stderr
    assert "install Go" in result.stderr
    assert not list((checkout.root / "bin").iterdir())


def test_the_binary_on_path_is_linked_and_a_second_call_does_nothing(checkout: Checkout, tmp_path: Path) -> None:
    binary = write_proxy(tmp_path / "my own/toxiproxy-server", VERSION)
    path = f"{binary.parent}:{checkout.path}"
    first = checkout.get(PATH=path)
    assert first.returncode == 0, first.stderr
    assert checkout.binary.readlink() == binary
    second = checkout.get(PATH=path)
    assert (second.returncode, second.stdout + second.stderr) == (0, "")


def test_a_binary_of_another_version_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    binary = write_proxy(tmp_path / "toxiproxy-server", "2.4.99")
    result = checkout.get(TOXIPROXY_BINARY=str(binary))
    assert result.returncode == 1
    assert "version 2.4.99" in result.stderr
    assert not checkout.binary.exists()


def test_a_binary_of_another_version_on_path_is_no_way(checkout: Checkout, tmp_path: Path) -> None:
    binary = write_proxy(tmp_path / "old/toxiproxy-server", "2.4.99")
    assert checkout.get(PATH=f"{binary.parent}:{checkout.path}").returncode == 1


def test_it_is_built_from_the_pinned_module(checkout: Checkout) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.fail("there is no go on PATH: install it to build the proxy")
    result = checkout.get(PATH=f"{Path(go).parent}:{checkout.path}:/usr/bin:/bin", HOME=str(Path.home()))
    assert result.returncode == 0, result.stderr
    answer = subprocess.run([checkout.binary, "--version"], capture_output=True, text=True, check=True).stdout
    assert answer.strip() == f"toxiproxy-server version {VERSION}"
