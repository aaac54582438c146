"""The Python of the documentation is held to types and style, as the code it talks about."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT, read_blocks


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with all files, in their last version, and all programs."""
    directory = tmp_path_factory.mktemp("documentation")
    owners: dict[str, str] = {}
    for path in PAGES:
        for block in read_blocks(path):
            if block.language == "python":
                name = block.title or f"block_{path.stem.replace('-', '_')}_{block.line}.py"
                assert owners.setdefault(name, block.page) == block.page, f"two pages have a file {name}: rename one"
                (directory / name).write_text(block.text)
    return directory


def check(files: Path, *command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command, "."],
        cwd=files,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_types(files: Path) -> None:
    check(files, "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache/docs"))


def test_style(files: Path) -> None:
    check(files, "ruff", "check", "--isolated", "--line-length", "120", "--select", "B,C4,E,F,PIE,RUF,SIM,UP,W")


def test_format(files: Path) -> None:
    check(files, "ruff", "format", "--isolated", "--line-length", "120", "--check")
