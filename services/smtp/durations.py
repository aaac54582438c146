"""Ages as people write them: `7d`, `12h`."""

from __future__ import annotations

import re
from typing import Final

from rr_tcp import ConfigurationError

_DURATION: Final = re.compile(r"(\d{1,9})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

LONGEST: Final = 100 * 366 * 86400
"""Seconds. More is a mistake of the unit, and no date."""


def parse_duration(text: str, name: str) -> int:
    """Seconds from a whole number with its unit: s, m, h, d or w.

    Args:
        text: as somebody wrote it.
        name: of the setting or option, for the error.

    Raises:
        ConfigurationError: it is none.
    """
    match = _DURATION.fullmatch(text) if text.isascii() else None
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= LONGEST:
        raise ConfigurationError(f"{name} is {text!r}: give a whole number above 0 with s, m, h, d or w, e.g. 7d")
    return seconds
