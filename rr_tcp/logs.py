"""Where the log of a process goes, and how much of it."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Final

from rr_tcp.errors import ConfigurationError

LOG_LEVEL: Final = "LOG_LEVEL"
"""Variable with the least level that is logged."""

_DEFAULT: Final = "INFO"


def log_level(env: Mapping[str, str]) -> int:
    """The level that LOG_LEVEL names, in capitals or not; INFO when it is unset or empty.

    Raises:
        ConfigurationError: there is no such level.
    """
    name = env.get(LOG_LEVEL) or _DEFAULT
    try:
        return logging.getLevelNamesMapping()[name.upper()]
    except KeyError:
        raise ConfigurationError(f"{LOG_LEVEL} is {name!r}: give DEBUG, INFO, WARNING or ERROR") from None


def log_to_stderr(env: Mapping[str, str]) -> None:
    """Has the log of this process go to stderr, each line with its level, the pid and the logger's name.

    Raises:
        ConfigurationError: LOG_LEVEL names no level.
    """
    logging.basicConfig(
        level=log_level(env), format=f"%(levelname)s [{os.getpid()}] %(name)s: %(message)s", stream=sys.stderr
    )
