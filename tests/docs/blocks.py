"""The fenced code blocks of the documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INFO = re.compile(r'(?P<language>[a-z]+)(?: title="(?P<title>[^"]+)")?')


@dataclass(frozen=True, slots=True)
class Block:
    """One block.

    Attributes:
        page: the file it is in, relative to the root.
        line: of its fence.
        language: what it is written in.
        title: the file that it is, the terminal that it is typed in, or nothing.
        text: its content.
    """

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        """Where it is."""
        return f"{self.page}:{self.line}"


def read_blocks(path: Path) -> list[Block]:
    """The blocks of a page in their order.

    Raises:
        ValueError: a fence that cannot be read, which would be a block that nobody runs.
    """
    page, text = str(path.relative_to(ROOT)), path.read_text()
    blocks = []
    for fence in _FENCE.finditer(text):
        line = text.count("\n", 0, fence.start()) + 1
        info = _INFO.fullmatch(fence["info"])
        if info is None:
            raise ValueError(f"{page}:{line}: a block begins with ```language or ```language title=...")
        blocks.append(Block(page, line, info["language"], info["title"] or "", fence["text"]))
    if 2 * len(blocks) != len(re.findall(r"(?:```|~~~)", text)):
        raise ValueError(f"{page}: a fence is indented, not closed, or made of ~~~: nobody would run its block")
    return blocks
