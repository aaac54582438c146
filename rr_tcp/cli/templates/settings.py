"""Settings of the service sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rr_tcp import ConfigurationError
from rr_tcp.line_protocol import MAX_LINE


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """Settings of the service sample.

    Attributes:
        max_line: limit of one line without its line end, bytes.
    """

    max_line: int = MAX_LINE

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> SampleSettings:
        """Reads SAMPLE_MAX_LINE; `ConfigurationError` when it is no positive number."""
        value = env.get("SAMPLE_MAX_LINE") or str(MAX_LINE)
        if not (value.isascii() and value.isdecimal()) or int(value) < 1:
            raise ConfigurationError(f"SAMPLE_MAX_LINE is {value!r}: give bytes, e.g. {MAX_LINE}")
        return cls(max_line=int(value))
