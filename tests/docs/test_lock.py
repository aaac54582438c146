"""What builds the documentation is pinned like the rest."""

from __future__ import annotations

import re

from tests.docs.blocks import ROOT


def versions(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def test_every_package_is_pinned_by_hash_and_no_address_is_named() -> None:
    text = (ROOT / "requirements-docs.lock").read_text()
    assert {"mkdocs", "mkdocs-material", "mkdocstrings-python"} <= versions("requirements-docs.lock").keys()
    assert "://" not in text
    blocks = re.split(r"(?m)^(?=[a-z0-9-]+(?:\[[a-z,]+\])?==)", text)[1:]
    assert len(blocks) >= len(versions("requirements-docs.lock"))  # one that depends on Python's version is there twice
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_it_fits_into_the_environment_of_development() -> None:
    development, documentation = versions("requirements-dev.lock"), versions("requirements-docs.lock")
    shared = development.keys() & documentation.keys()
    assert shared
    assert {name: documentation[name] for name in shared} == {name: development[name] for name in shared}
