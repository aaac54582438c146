"""Settings of the echo service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rr_tcp import ConfigurationError
from rr_tcp.line_protocol import MAX_LINE


@dataclass(frozen=True, slots=True)
class EchoSettings:
    """Settings of the echo service.

    Attributes:
        max_line: limit of one line without its line end, bytes.
    """

    max_line: int = MAX_LINE

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> EchoSettings:
        """Reads ECHO_MAX_LINE; `ConfigurationError` when it is no positive number."""
        value = env.get("ECHO_MAX_LINE") or str(MAX_LINE)
        if not value.isdecimal() or int(value) < 1:
            raise ConfigurationError(f"ECHO_MAX_LINE is {value!r}: give the longest line in bytes, e.g. {MAX_LINE}")
        return cls(max_line=int(value))
