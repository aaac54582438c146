"""The reference and the command line's page are complete."""

from __future__ import annotations

import re

from rr_tcp.cli import COMMANDS
from tests.docs.blocks import PAGES, ROOT

# What users type has a page of its own; what they import is in the reference under the module that defines it.
ELSEWHERE = {"rr_tcp", "rr_tcp.__main__", "rr_tcp.exports", "rr_tcp.plugins", "rr_tcp.stores", "rr_tcp.testing"}


def test_every_public_module_is_in_the_reference_once() -> None:
    documented = [name for path in PAGES for name in re.findall(r"^::: (rr_tcp\.\S+)$", path.read_text(), re.MULTILINE)]
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "rr_tcp").rglob("*.py")
    }
    public = {name for name in modules - ELSEWHERE if not name.startswith("rr_tcp.cli")}
    assert sorted(documented) == sorted(public)


def test_every_command_has_its_section_and_its_example() -> None:
    page = (ROOT / "docs/howto/cli.md").read_text()
    assert set(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == COMMANDS.keys()
    for command in COMMANDS:
        section = page.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
        assert re.search(rf"-m(?: |\", \")rr_tcp(?: |\", \"){command}\b", section), command
