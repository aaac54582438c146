"""The settings of whoever runs something by hand: the process's environment, and below it the file `.env`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

ENV_FILE: Final = "ENV_FILE"
"""Variable that names another file than `.env` of the working directory; tests name an empty one."""


def environment() -> dict[str, str]:
    """Variables by name. One that is set but empty counts as unset, as in RoadRunner's configuration."""
    file = Path(os.environ.get(ENV_FILE) or ".env")
    merged: dict[str, str | None] = {**dotenv_values(file), **{k: v for k, v in os.environ.items() if v}}
    return {name: value for name, value in merged.items() if value}
