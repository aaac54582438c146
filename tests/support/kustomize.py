"""deploy/kubernetes as a cluster would get it: rendered by kustomize, without a cluster or a network."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]

Object: TypeAlias = dict[str, Any]


def find_kustomize() -> list[str]:
    """The command that renders a directory, whose path follows."""
    found = subprocess.run([ROOT / "scripts/get-kustomize"], check=False, capture_output=True, text=True)
    if found.returncode:
        pytest.fail(found.stderr)
    return found.stdout.split()


def render(directory: Path) -> list[Object]:
    """All objects of an overlay."""
    made = subprocess.run([*find_kustomize(), directory], check=False, capture_output=True, text=True)
    if made.returncode:
        pytest.fail(f"kustomize refuses {directory}: {made.stderr}")
    return list(yaml.safe_load_all(made.stdout))
