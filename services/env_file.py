"""The settings of whoever runs something by hand: the process's environment, and below it the file `.env`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from dotenv.parser import Original, parse_stream

from rr_tcp import ConfigurationError

ENV_FILE: Final = "ENV_FILE"
"""Variable that names another file than `.env` of the working directory; tests name an empty one."""


def environment() -> dict[str, str]:
    """Variables by name. One that is set but empty counts as unset, as in RoadRunner's configuration.

    Raises:
        ConfigurationError: the file has a line that sets nothing, or cannot be read.
    """
    merged: dict[str, str | None] = {**_file_values(), **{k: v for k, v in os.environ.items() if v}}
    return {name: value for name, value in merged.items() if value}


def misspelt(known: Iterable[str]) -> list[str]:
    """What to tell whoever wrote the file: which of its names look like a setting and are none.

    Args:
        known: the names of all settings. The file may have others, for a handler or for Compose.
    """
    names = sorted(known)
    unknown = (name for name in _file_values() if name not in names)
    close = ((name, get_close_matches(name.upper(), names, n=1, cutoff=0.8)) for name in unknown)
    return [f"{_path()} sets {name}, which is no setting: is {match[0]} meant?" for name, match in close if match]


def _path() -> Path:
    return Path(os.environ.get(ENV_FILE) or ".env")


def _file_values() -> dict[str, str | None]:
    path = _path()
    try:
        with path.open(encoding="utf-8") as file:
            wrong = [_line(binding.original) for binding in parse_stream(file) if binding.error]
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if wrong:
        raise ConfigurationError(
            f"line {wrong[0]} of {path} cannot be read: give NAME=value, or # and a comment, and close each quote"
        )
    return dotenv_values(path)


def _line(statement: Original) -> int:
    """Where a statement begins; the empty lines before it are a part of it to the parser."""
    text = statement.string
    return statement.line + text[: len(text) - len(text.lstrip())].count("\n")
