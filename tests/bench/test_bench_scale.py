"""What `make bench-scale` counts is what the servers did, and what it computes follows from that."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.programs import ROOT, build
from bench.scale.figures import GIB, Assumptions, MailWork, Memory, StoreWork, markdown
from bench.scale.measuring import mails, memory
from bench.smtp.contenders import CONTENDERS, running
from bench.smtp.scenarios import KB, Scenario

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="the load generator is built with Go")

REDIS = CONTENDERS[-1]
WORK = StoreWork({"hset": 4.0, "exec": 1.5, "scan": 0.01}, 2.0, 300.0)
MAIL = MailWork("4 kB, plain", 100, 500.0, 0.004, 0.001, WORK, WORK)
MEMORY = Memory("said EHLO", [0, 10, 20], {"RoadRunner": [5_000, 15_000, 25_000], "workers": [900, 800, 850]})


def test_memory_per_connection_is_the_slope() -> None:
    """What a server has without any connection does not count, nor does one that seems to give memory back."""
    assert MEMORY.per_connection("RoadRunner") == pytest.approx(1000)
    assert MEMORY.per_connection("workers") == 0
    assert MEMORY.of_all == pytest.approx(1000)


def test_the_cost_is_that_of_the_formula() -> None:
    assumed = Assumptions(core_hour=0.36, gib_hour=0.036, busy=0.5, at_once=2.0)
    cores, memory_hours = 4000 / 3600 / 0.5, 2e6 / 3600 / 0.5
    assert assumed.per_million(MAIL, float(GIB)) == pytest.approx(cores * 0.36 + memory_hours * 0.036)


def test_the_tables_have_what_was_measured() -> None:
    tables = markdown([MEMORY], [MAIL], Assumptions(), load=0.5)
    assert "| said EHLO | 1.0 KiB | 0.0 KiB | 1.0 KiB | 1,073,742 |" in tables
    assert "| 4 kB, plain | 500 | 4.00 ms | 1.00 ms | 250 |" in tables
    assert "| 4 kB, plain | sessions | 5.5 | 2.0 | 300 | hset 4.0, exec 1.5 |" in tables, "housekeeping is no word"
    assert "| 4 kB, plain | 8.0 | 5,510 | 5,510 |" in tables


@needs_go
def test_the_commands_of_a_mail_are_those_of_its_events(tmp_path: Path) -> None:
    """Plain, a mail is four events, each a load and a save; it is stored in one script, whatever its clients do."""
    program = build().smtp_load
    with running([REDIS], tmp_path, workers=2) as (served,):
        plain = mails(served, program, Scenario(4 * KB, 1, limit=50), seconds=30)
        pipelined = mails(served, program, Scenario(4 * KB, 1, pipelined=True, limit=50), seconds=30)
    for work in (plain, pipelined):
        assert work.mails >= 50
        assert work.stored.calls["evalsha"] + work.stored.calls.get("eval", 0) == pytest.approx(1, abs=0.1)
        assert work.stored.calls["xadd"] == 1
        assert 0 < work.cpu_redis < work.cpu
    assert plain.sessions.calls["hmget"] == pytest.approx(4, abs=0.5)
    assert plain.sessions.calls["exec"] == pytest.approx(4, abs=0.5)
    assert pipelined.sessions.calls["hmget"] < 2
    assert plain.sessions.reads >= plain.sessions.calls["hmget"] + plain.sessions.calls["exec"] - 0.5


def test_connections_that_wait_are_counted_and_a_wrong_reply_is_an_error(tmp_path: Path) -> None:
    with running([REDIS], tmp_path, workers=2) as (served,):
        found = memory(served, "sent 4 kB of a mail", (0, 8, 16), in_text=True)
        assert found.connections == (0, 8, 16)
        assert found.per_connection("RoadRunner") > 0
        assert all(size > 0 for sizes in found.parts.values() for size in sizes)
        for pid in served.others:
            assert pid not in served.workers()
    with pytest.raises((BenchError, OSError)):
        memory(served, "nobody", (1,), in_text=False)


@needs_go
@pytest.mark.timeout(600)  # two stacks are started, and 16 clients wait for the disk, on a machine that may be busy
def test_a_quick_run_writes_the_tables_and_the_figures(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.scale", "--quick", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "scale.md").read_text() == done.stdout
    figures = json.loads((tmp_path / "scale.json").read_text())
    assert [state["state"] for state in figures["memory"]] == ["said EHLO"]
    assert [mail["title"] for mail in figures["mails"]] == ["4 kB, 16 clients, plain, kept"]
