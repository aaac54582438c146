"""Where the log of a process goes, how much of it, and in which form."""

from __future__ import annotations

import enum
import logging
import os
import sys
from collections.abc import Mapping
from typing import Final

from rr_tcp.errors import ConfigurationError
from rr_tcp.json_logs import JsonHandler

LOG_LEVEL: Final = "LOG_LEVEL"
"""Variable with the least level that is logged."""

LOG_FORMAT: Final = "LOG_FORMAT"
"""Variable with the form of the log; RoadRunner's own, `logs.encoding`, is to be the same."""

_DEFAULT: Final = "INFO"


class LogFormat(enum.StrEnum):
    """The form of a record, by RoadRunner's names."""

    CONSOLE = "console"
    """A line of text, which RoadRunner puts behind a time and a level of its own."""
    JSON = "json"
    """An object on a line, see `rr_tcp.json_logs`."""


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


def log_format(env: Mapping[str, str]) -> LogFormat:
    """The form that LOG_FORMAT names; `console` when it is unset or empty.

    Raises:
        ConfigurationError: there is no such form.
    """
    name = env.get(LOG_FORMAT) or LogFormat.CONSOLE
    try:
        return LogFormat(name)
    except ValueError:
        raise ConfigurationError(f"{LOG_FORMAT} is {name!r}: give {' or '.join(LogFormat)}") from None


def log_to_stderr(env: Mapping[str, str], *, started_by_server: bool = False) -> None:
    """Has the log of this process go to stderr, each line with its level, the pid and the logger's name.

    Args:
        env: LOG_LEVEL and LOG_FORMAT.
        started_by_server: RoadRunner reads this process's stderr. JSON lines then go to RoadRunner's own stderr: it
            would put each piece that it reads, which ends anywhere, into a record of its own.

    Raises:
        ConfigurationError: LOG_LEVEL names no level, or LOG_FORMAT no form.
    """
    level = log_level(env)
    if log_format(env) is LogFormat.JSON:
        handler = JsonHandler.on_server_stderr() if started_by_server else JsonHandler(sys.stderr.fileno())
        logging.basicConfig(level=level, handlers=[handler])
        return
    logging.basicConfig(level=level, format=f"%(levelname)s [{os.getpid()}] %(name)s: %(message)s", stream=sys.stderr)
