"""All fuzz targets by name; the seeds of `x` are in `seeds/x`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.fuzz import stored, streams, wire

TARGETS: dict[str, Callable[[bytes], None]] = {
    "echo": streams.echo,
    "frames": wire.frames,
    "lines": streams.lines,
    "protobuf": wire.protobuf,
    "proxy_header": streams.proxy_header,
    "record": stored.record,
    "rpc": wire.rpc,
    "sealed_frames": wire.sealed_frames,
    "smtp": streams.smtp,
    "state": stored.state,
    "worker": wire.worker,
}

SEEDS = Path(__file__).parent / "seeds"


def seeds(name: str) -> list[bytes]:
    """The inputs from which fuzzing starts."""
    return [path.read_bytes() for path in sorted((SEEDS / name).iterdir())]
