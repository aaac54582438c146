"""Pages of the documentation whose tables name the tests that prove each row."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

from tests.docs.blocks import ROOT

PROVEN_PAGES: Final = ("docs/parity.md", "docs/aiosmtpd.md", "docs/security.md")

_TEST: Final = r"`(tests/[\w/]+\.py)::(\w+)`"


def text(page: str) -> str:
    """What the page says."""
    return (ROOT / page).read_text()


def named_tests() -> list[tuple[str, str]]:
    """All tests that the pages name, as file and function."""
    return sorted({found for page in PROVEN_PAGES for found in re.findall(_TEST, text(page))})


def functions(path: Path) -> set[str]:
    """The functions of a module."""
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def rows(page: str) -> list[list[str]]:
    """The cells of all rows of the tables that end in `proven by`."""
    found: list[list[str]] = []
    proven = False
    for line in text(page).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if not cells:
            proven = proven and line.startswith("|---")
        elif cells[-1] == "proven by":
            proven = True
        elif proven:
            found.append(cells)
    return found


def is_proof(cell: str) -> bool:
    """Whether a cell names tests and nothing else."""
    return re.fullmatch(rf"{_TEST}(?:, {_TEST})*", cell) is not None
