"""The errors of the benchmarks."""

from __future__ import annotations

from rr_tcp.errors import RRTcpError


class BenchError(RRTcpError):
    """The benchmark cannot be run, or an answer was wrong: there is no result."""
