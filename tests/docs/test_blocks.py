"""No code block of the documentation is left out by mistake."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs import blocks
from tests.docs.blocks import PAGES, ROOT, Block, read_blocks
from tests.docs.commands import NOT_RUN
from tests.docs.page import OUTPUT, TERMINALS

# Their python, yaml and bash blocks are run by tests/integration/test_readme.py, or there are none.
OTHERS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]

BLOCKS = [block for path in [*PAGES, *OTHERS] for block in read_blocks(path)]


def commands(block: Block) -> list[str]:
    return [line for line in block.text.splitlines() if line]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_is_of_a_kind_that_is_run_or_explained(block: Block) -> None:
    """Titles are files, terminals, or the output; a configuration without a file would be read by nobody."""
    match block.language:
        case "console":
            assert not block.title
        case "text":
            assert block.title in {"", OUTPUT}
        case "bash":
            assert block.title in {"", *TERMINALS}
        case "python":
            assert not block.title or block.title.endswith(".py")
        case "yaml":
            assert block.title.endswith(".rr.yaml") or block.page == "README.md"
        case language:
            pytest.fail(f"nobody runs {language}")


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "console"], ids=str)
def test_every_command_that_is_not_run_says_why(block: Block) -> None:
    assert set(commands(block)) <= NOT_RUN.keys()


def test_every_reason_is_of_a_command_that_stands_somewhere() -> None:
    text = "\n".join(path.read_text() for path in [*PAGES, *OTHERS])
    assert [command for command in NOT_RUN if f"\n{command}\n" not in text] == []


def test_every_test_that_a_reason_names_exists() -> None:
    named = {path for reason in NOT_RUN.values() for path in re.findall(r"tests/\S+\.py", reason)}
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("command", [command for command in NOT_RUN if "make" in command])
def test_every_target_of_make_exists(command: str) -> None:
    subprocess.run(
        ["make", "--dry-run", *command.partition("make")[2].split()], cwd=ROOT, check=True, capture_output=True
    )


def test_every_file_that_a_command_names_is_on_its_page() -> None:
    for path in PAGES:
        page = read_blocks(path)
        files = {block.title for block in page}
        for block in page:
            if block.language == "bash":
                assert set(re.findall(r"[\w./]+\.(?:py|rr\.yaml)\b", block.text)) <= files, str(block)


@pytest.mark.parametrize(
    "text",
    ["```\nno language\n```\n", "  ```python\n  indented\n  ```\n", "```python\nnot closed\n", "~~~python\nx\n~~~\n"],
    ids=["no language", "indented", "not closed", "tildes"],
)
def test_a_block_that_nobody_would_run_is_an_error(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text(f"# Page\n\n{text}")
    with pytest.raises(ValueError, match=r"page\.md"):
        read_blocks(tmp_path / "page.md")
