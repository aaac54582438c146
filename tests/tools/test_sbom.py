"""The bills of materials are CycloneDX by its own schema, and list what is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.tools.common import ROOT

AUDIT_PYTHON = ROOT / ".cache/audit/bin/python"

VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(None if fault is None else str(fault))
"""


@pytest.fixture(scope="module", autouse=True)
def go() -> None:
    if shutil.which("go") is None:
        pytest.fail("Go, which reads RoadRunner's binary, is not installed: `make sbom` needs it")


def in_audit_environment(*args: str | Path) -> subprocess.CompletedProcess[str]:
    if not AUDIT_PYTHON.exists():
        pytest.fail("there is no .cache/audit: `make audit-env` makes it")
    return subprocess.run([AUDIT_PYTHON, *args], cwd=ROOT, check=False, capture_output=True, text=True)


def fault_of(document: Path) -> str:
    """What CycloneDX's schema, which comes with its library, has against a document."""
    return in_audit_environment("-c", VALIDATE, document).stderr


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make sbom` writes."""
    directory = tmp_path_factory.mktemp("sbom")
    subprocess.run(
        ["make", "--no-print-directory", "-o", ".venv/.dev", "sbom", f"SBOM_DIR={directory}"], cwd=ROOT, check=True
    )
    return directory


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def versions(path: Path) -> dict[str, str]:
    return {component["name"].lower(): component["version"] for component in load(path)["components"]}


@pytest.mark.parametrize("name", ["python", "roadrunner"])
def test_a_bill_is_valid_names_packages_by_their_address_and_how_they_depend(name: str, bills: Path) -> None:
    path = bills / f"{name}.cdx.json"
    assert fault_of(path) == ""
    document = load(path)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert all(component["purl"].startswith("pkg:") for component in document["components"])
    references = {component["bom-ref"] for component in document["components"]}
    reached = {child for node in document["dependencies"] for child in node.get("dependsOn", [])}
    assert reached
    assert references == {node["ref"] for node in document["dependencies"]} - {
        document["metadata"]["component"]["bom-ref"]
    }


def test_a_document_that_is_none_is_told_from_one() -> None:
    """Else the test above could not fail."""
    assert "components" in fault_of(ROOT / "tests/tools/no_bill.json")


def test_the_bill_of_python_has_what_the_image_installs_and_nothing_else(bills: Path) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)(?:\[\w+\])?==(\S+) \\$", lock, re.MULTILINE))  # for every Python
    conditional = set(re.findall(r"^([a-z0-9-]+)==\S+ ;", lock, re.MULTILINE))
    found = {name.replace("_", "-"): version for name, version in versions(bills / "python.cdx.json").items()}
    assert {name: version for name, version in found.items() if name not in conditional} == pinned


def test_the_bill_of_roadrunner_has_the_modules_that_are_pinned(bills: Path) -> None:
    found = versions(bills / "roadrunner.cdx.json")
    pinned = dict(re.findall(r"^\t(\S+) (v\S+)", (ROOT / "tools/rr/go.mod").read_text(), re.MULTILINE))
    plugins = {name: version for name, version in pinned.items() if name.startswith("github.com/roadrunner-server/")}
    assert len(plugins) > 10
    assert plugins.items() <= found.items()
    assert "stdlib" in found


def test_the_same_stack_gives_the_same_bill(bills: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    done = in_audit_environment("-m", "scripts.sbom", "go", "bin/rr", again)
    assert done.returncode == 0, done.stderr
    assert again.read_bytes() == (bills / "roadrunner.cdx.json").read_bytes()


def test_a_binary_without_modules_gives_no_bill(tmp_path: Path) -> None:
    done = in_audit_environment("-m", "scripts.sbom", "go", "/bin/sh", tmp_path / "none.json")
    assert done.returncode == 1
    assert "sbom: go version -m /bin/sh failed" in done.stderr
    assert not (tmp_path / "none.json").exists()
