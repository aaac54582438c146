"""What is in the wheel and the source distribution, and what they say of themselves."""

from __future__ import annotations

import email
import json
import sys
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import rr_tcp
from tests.packaging.conftest import ROOT, build, run


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_string(archive.read(name).decode())


def contents(wheel: Path) -> dict[str, int]:
    """Names and checksums."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.CRC for info in archive.infolist()}


def test_the_wheel_has_the_sdk_and_nothing_else(wheel: Path) -> None:
    names = contents(wheel).keys()
    assert {name.partition("/")[0] for name in names} == {"rr_tcp", f"rr_tcp-{rr_tcp.__version__}.dist-info"}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "rr_tcp").rglob("*.py")} | {"rr_tcp/py.typed"}
    assert {name for name in names if name.startswith("rr_tcp/")} == sources


def test_the_source_distribution_makes_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    assert {path.name for path in sdist.iterdir()} == {
        ".gitignore", "CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "rr_tcp",
    }  # fmt: skip
    assert contents(build(sdist, "wheel", tmp_path)) == contents(wheel)


def test_the_metadata_says_what_is_so(metadata: Message) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert metadata["Name"] == project["name"]
    assert metadata["Version"] == rr_tcp.__version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text()
    assert metadata.get_all("Requires-Python") == ["<3.14,>=3.11"]
    classifiers = metadata.get_all("Classifier") or []
    for version in ("3.11", "3.12", "3.13"):
        assert f"Programming Language :: Python :: {version}" in classifiers
    assert "Typing :: Typed" in classifiers


def test_only_msgspec_is_needed(metadata: Message, user_python: Path, tmp_path: Path) -> None:
    needed = [each for each in metadata.get_all("Requires-Dist") or [] if "extra ==" not in each]
    assert [each.partition("<")[0] for each in needed] == ["msgspec"]
    listing = run([sys.executable, "-m", "uv", "pip", "list", "--python", user_python, "--format", "json"], tmp_path)
    assert {each["name"] for each in json.loads(listing)} == {"rr-tcp", "msgspec"}
