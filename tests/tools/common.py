"""What the tests of the server have in common."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = (ROOT / "tools/rr/VERSION").read_text().strip()
WAIT = 20.0  # seconds that a command may take
