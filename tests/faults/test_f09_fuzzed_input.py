"""What F9 takes for a failure, and that it ends what it started."""

from __future__ import annotations

from pathlib import Path

import pytest

from rr_tcp.foreground import Interrupted
from tests.faults.f09_fuzzed_input import _run, cases, judge_fuzzer, judge_model, model
from tests.faults.fault import FaultError, Surroundings
from tests.support.waiting import wait_until

FUZZED = """\
frames            65,159 inputs in 1 s, 30 edges, 17 kept, nothing found
sealed_frames     36,343 inputs in 1 s, 53 edges, 40 kept, nothing found
"""
MODELLED = """\
    5 s, 32 worlds, 1,158 mails
    1,158  mails acknowledged
       45  a worker died
seed 796126: 32 worlds, nothing found
"""


def test_a_fuzzer_that_finds_nothing_is_no_finding() -> None:
    outcome = judge_fuzzer(["frames", "sealed_frames"], 0, FUZZED)
    assert not outcome.findings
    assert outcome.figures == {"targets": "2: frames, sealed_frames", "inputs": "101,502", "found": "nothing"}


@pytest.mark.parametrize(
    ("code", "output", "finding"),
    [
        (1, FUZZED, "the fuzzer ended with 1"),
        (0, FUZZED.replace("sealed_frames", "sealed_frames: exit code 77"), "sealed_frames: the fuzzer does not say"),
        (0, FUZZED.replace("36,343", "0"), "sealed_frames: the fuzzer tried no input"),
    ],
)
def test_a_fuzzer_that_finds_something_is_a_finding(code: int, output: str, finding: str) -> None:
    [found] = judge_fuzzer(["frames", "sealed_frames"], code, output).findings
    assert finding in found


def test_a_model_that_is_not_contradicted_is_no_finding() -> None:
    outcome = judge_model(0, MODELLED)
    assert not outcome.findings
    assert outcome.figures["worlds"] == "32"
    assert outcome.figures["mails acknowledged"] == "1,158"
    assert outcome.figures["a session expired"] == "0"


@pytest.mark.parametrize(
    ("code", "output", "finding"),
    [
        (1, MODELLED, "the model ended with 1"),
        (0, MODELLED.replace("nothing found", "nothing found, but never: []"), "the model ended with 0"),
        (0, MODELLED.replace("mails acknowledged", "mails"), "nothing was tested"),
    ],
)
def test_a_model_that_is_contradicted_is_a_finding(code: int, output: str, finding: str) -> None:
    [found] = judge_model(code, output).findings
    assert finding in found


def test_the_programs_say_what_is_looked_for(tmp_path: Path) -> None:
    """One second of the real model, so that a change of its words is noticed."""
    outcome = model(1, Surroundings(tmp_path, 1, "", 120.0))
    assert not outcome.findings
    assert outcome.figures["worlds"] != "-"


def test_what_was_started_ends_with_the_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program has a child of its own, as the fuzzer has."""
    program = tmp_path / "endless.py"
    program.write_text(
        "import subprocess, sys\n"
        "child = 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'\n"
        "subprocess.run([sys.executable, '-c', child])\n"
    )

    def interrupted() -> None:
        if (tmp_path / "output").read_text().endswith("\n"):
            raise Interrupted

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(Interrupted):
        _run(["endless"], Surroundings(tmp_path, 1, "", 60.0, interrupted))
    child = int((tmp_path / "output").read_text())
    wait_until(lambda: not _lives(child), "the end of the program's child")


def _lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_program_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match="not done"):
        _run(["http.server", "--bind", "127.0.0.1", "0"], Surroundings(tmp_path, 1, "", 0.1))


def test_the_quick_cases_are_what_the_full_ones_are() -> None:
    assert [case.name for case in cases(quick=True)] == [case.name for case in cases(quick=False)]
