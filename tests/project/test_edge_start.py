"""What starts the edge: a limit that is none is refused by its name."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.project.test_consistency import ROOT, edges_defaults

LIMITS = [
    "EDGE_MAX_CONNECTIONS",
    "EDGE_REPLICA_CONNECTIONS",
    "EDGE_CLIENT_CONNECTIONS",
    "EDGE_CLIENT_RATE",
    "EDGE_CLIENT_BANDWIDTH",
]


def start(**env: str) -> subprocess.CompletedProcess[str]:
    """Starts `env`, which tells what HAProxy would be given."""
    command = [f"{ROOT}/deploy/edge/start", "env"]
    return subprocess.run(command, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, check=False)


def given(printed: str) -> dict[str, str]:
    return dict(re.findall(r"^(EDGE_\w+)=(.*)$", printed, re.MULTILINE))


def test_the_defaults_are_limits() -> None:
    limits = {name: edges_defaults()[name] for name in [*LIMITS, "EDGE_IDLE"]}
    started = start(**limits)
    assert (started.returncode, given(started.stdout)) == (0, limits)


def test_an_empty_variable_is_an_unset_one_so_that_the_default_holds() -> None:
    started = start(**dict.fromkeys([*LIMITS, "EDGE_IDLE"], ""))
    assert (started.returncode, given(started.stdout)) == (0, {})


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", ["-1", "0", "07", "1e3", "50 ", "0x10", "4294967296", "1;reboot"])
def test_a_limit_that_is_no_number_is_named(name: str, value: str) -> None:
    started = start(**{name: value})
    assert (started.returncode, started.stdout) == (1, "")
    assert started.stderr == f"edge: {name} is '{value}': give a whole number from 1 to 999999999\n"


@pytest.mark.parametrize("value", ["5", "0", "0m", "m", "5mm", "5min", "-5m", "5.5m", "5 m"])
def test_a_time_without_a_unit_or_number_is_named(value: str) -> None:
    """HAProxy would take 5 for milliseconds, and 0 for ever."""
    started = start(EDGE_IDLE=value)
    assert (started.returncode, started.stdout) == (1, "")
    assert started.stderr == f"edge: EDGE_IDLE is '{value}': give a number and a unit, e.g. 90s, 5m, 1h\n"


@pytest.mark.parametrize("value", ["90s", "5m", "1h"])
def test_a_time_is_handed_on_as_it_is(value: str) -> None:
    assert given(start(EDGE_IDLE=value).stdout) == {"EDGE_IDLE": value}
