"""Hook of MkDocs: the built site loads nothing from other servers. A warning fails `mkdocs build --strict`."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

log = logging.getLogger("mkdocs.hooks.local_only")

# A link that a reader may follow (<a href>) is none of these.
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?![^>]*\brel=["']?canonical)[^>]*\bhref=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|(?:@import\s+["']?|url\(\s*["']?)((?:https?:)?//[^"'\s)]+)""",
    re.IGNORECASE,
)


def loaded_from_elsewhere(text: str) -> list[str]:
    """The addresses of other servers that a browser would load things from, for a page or a style sheet."""
    return [next(filter(None, match.groups())) for match in _LOADED.finditer(text)]


def on_post_build(config: Mapping[str, str]) -> None:
    """MkDocs calls this when the site is written."""
    for path in sorted(Path(config["site_dir"]).rglob("*")):
        if path.suffix in {".html", ".css"}:
            for address in loaded_from_elsewhere(path.read_text()):
                log.warning("%s loads %s", path.relative_to(config["site_dir"]), address)
