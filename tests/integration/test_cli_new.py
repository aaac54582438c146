"""What `rr-tcp new` makes passes the checks of the repository, in a copy of it, without another edit."""

from __future__ import annotations

import re
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest

from rr_tcp.cli.new import MAX_NAME
from tests.integration.conftest import ROOT

SHORTEST = next(letter for letter in string.ascii_lowercase if not (ROOT / "services" / letter).exists())
NAMES = ["made_for_test", "made4test", SHORTEST, "abcdefghij_klmnopqrs"]
"""Also the shortest and the longest: formatting depends on the length of lines."""


def run(clone: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=clone,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, rr_binary: Path) -> Path:
    """A copy of what git would track, with some services made in it."""
    root = tmp_path_factory.mktemp("clone")
    listed = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # not what was deleted and not committed yet
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    (root / "bin").mkdir()
    (root / "bin/rr").symlink_to(rr_binary)
    run(root, "git", "init", "--quiet")
    run(root, "git", "add", "--all")
    for name in NAMES:
        run(root, sys.executable, "-m", "rr_tcp", "new", name)
    return root


def touched(clone: Path) -> list[str]:
    """The Python files that `new` made or changed."""
    changed = run(clone, "git", "ls-files", "-z", "--modified", "--others", "--exclude-standard")
    return [name for name in changed.split("\0") if name.endswith(".py")]


def test_every_made_file_is_linted_formatted_and_typed(clone: Path) -> None:
    assert max(map(len, NAMES)) == MAX_NAME
    files = touched(clone)
    assert len(files) == 7 * len(NAMES) + 1
    run(clone, sys.executable, "-m", "ruff", "check", "--no-cache", *files)
    run(clone, sys.executable, "-m", "ruff", "format", "--no-cache", "--check", *files)
    run(clone, sys.executable, "-m", "mypy", *files)


def test_the_import_rules_hold_for_the_made_services(clone: Path) -> None:
    lint_imports = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    run(clone, *lint_imports)
    protocol = clone / "services/made_for_test/protocol.py"
    made = protocol.read_text()
    try:
        protocol.write_text(f"{made}import socket\n")
        with pytest.raises(AssertionError, match=re.escape("services.made_for_test.protocol -> socket")):
            run(clone, *lint_imports)
    finally:
        protocol.write_text(made)


def test_the_made_tests_and_those_of_the_project_pass(clone: Path) -> None:
    made = [f"tests/services/{name}" for name in NAMES]
    run(clone, sys.executable, "-m", "pytest", "-q", *made, "tests/project")


def test_the_made_services_answer_through_the_real_server(clone: Path) -> None:
    made = [f"tests/e2e/test_{name}.py" for name in NAMES]
    said = run(clone, sys.executable, "-m", "pytest", "-q", *made, "--target", "native")
    assert f"{2 * len(NAMES)} passed" in said
