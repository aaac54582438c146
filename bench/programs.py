"""The programs in Go: building them, and one measurement with the load generator."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.errors import BenchError

ROOT = Path(__file__).resolve().parent.parent
_SOURCE = ROOT / "bench"
_TARGET = ROOT / ".cache" / "bench"

_GRACE = 60.0
"""Seconds that a measurement may take on top of its time: the load generator gives up on an answer well before."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the clients do.

    Attributes:
        title: for people.
        connections: clients at the same time.
        reconnect: each line has a connection of its own.
        limit: lines after which a measurement ends in any case.
    """

    title: str
    connections: int
    reconnect: bool = False
    limit: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs that are built from bench/.

    Attributes:
        load: the load generator of echo services.
        null_worker: the ceiling of the SDK.
        smtp_load: the load generator of mail services.
    """

    load: Path
    null_worker: Path
    smtp_load: Path


class _Result(msgspec.Struct, forbid_unknown_fields=True):
    round_trips: int
    seconds: float


def build() -> Programs:
    """Builds the programs in Go.

    Raises:
        BenchError: there is no Go, or the build failed.
    """
    go = shutil.which("go")
    if go is None:
        raise BenchError("the load generator is built with Go, and there is none on PATH: install Go 1.24 or later")
    _TARGET.mkdir(parents=True, exist_ok=True)
    command = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o", f"{_TARGET}/", "./..."]
    env = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
    built = subprocess.run(command, cwd=_SOURCE, env=env, capture_output=True, text=True, check=False)
    if built.returncode:
        raise BenchError(f"the load generator does not build:\n{built.stderr}")
    return Programs(_TARGET / "load", _TARGET / "null_worker", _TARGET / "smtp_load")


def measure(programs: Programs, scenario: Scenario, port: int, seconds: float) -> float:
    """Round trips per second of one contender in one scenario.

    Raises:
        BenchError: an echo was wrong or missing.
    """
    command = [str(programs.load), "-address", f"127.0.0.1:{port}", "-connections", str(scenario.connections)]
    command += ["-seconds", str(seconds), "-limit", str(scenario.limit)]
    if scenario.reconnect:
        command.append("-reconnect")
    try:
        run = subprocess.run(command, capture_output=True, timeout=seconds + _GRACE, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"the load generator did not end in {seconds + _GRACE:g} s") from error
    if run.returncode:
        raise BenchError(run.stderr.decode(errors="replace").strip())
    result = msgspec.json.decode(run.stdout, type=_Result)
    return result.round_trips / result.seconds
