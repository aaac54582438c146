"""The runner of the faults: its exit codes, its report, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.__main__ import INTERRUPTED, ROOT, main
from tests.faults.fault import Case, Fault, FaultError, Outcome, Run, Surroundings
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The runner's handlers are for a process of its own."""
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


def holds(surroundings: Surroundings) -> Outcome:
    (surroundings.directory / "file").write_text("")
    return Outcome({"seed": str(surroundings.seed)}, [])


def loses(surroundings: Surroundings) -> Outcome:
    (surroundings.directory / "file").write_text("")
    return Outcome({"seed": str(surroundings.seed)}, ["a mail is lost"])


def raises(surroundings: Surroundings) -> Outcome:
    raise OSError(f"no space in {surroundings.directory.name}")


def fails(surroundings: Surroundings) -> Outcome:
    pytest.fail(f"nothing to run with in {surroundings.directory.name}")


def hangs(surroundings: Surroundings) -> Outcome:
    while True:
        surroundings.check()


def is_interrupted(surroundings: Surroundings) -> Outcome:
    os.kill(os.getpid(), signal.SIGTERM)
    return hangs(replace(surroundings, limit=30.0))


def fault(**cases: Run) -> Fault:
    made = [Case(name, run, 0.2) for name, run in cases.items()]
    return Fault("F0", "Nothing happens", "everything", lambda quick: made[:1] if quick else made)


def test_all_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "7", "--output", str(tmp_path)], faults=[fault(first=holds, second=holds)]) == 0
    report = (tmp_path / "report.md").read_text()
    assert capsys.readouterr().out == report
    assert "| holds | yes | yes |\n| seed | 7 | 7 |\n" in report
    assert [row["case"] for row in json.loads((tmp_path / "report.json").read_text())] == ["first", "second"]
    assert {path.name for path in tmp_path.iterdir()} == {"report.md", "report.json"}


def test_what_does_not_hold_is_said_and_what_it_left_is_kept(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path)], faults=[fault(first=holds, second=loses)]) == 1
    assert "- second: a mail is lost\n" in (tmp_path / "report.md").read_text()
    assert len(list(tmp_path.glob("F0-*/file"))) == 1


@pytest.mark.parametrize(
    ("run", "said"),
    [(raises, "OSError: no space in F0-"), (fails, "nothing to run with in F0-"), (hangs, "not done after 0.2 s")],
)
def test_a_case_that_cannot_be_run_does_not_hold_and_the_next_one_has_its_turn(
    run: Run, said: str, tmp_path: Path
) -> None:
    assert main(["--output", str(tmp_path)], faults=[fault(first=run, second=holds)]) == 1
    report = (tmp_path / "report.md").read_text()
    assert said in report
    assert "| holds | no | yes |" in report


def test_two_cases_run_at_a_time_and_one_that_wants_to_be_alone_is(tmp_path: Path) -> None:
    together, done = threading.Barrier(2), list[Path]()

    def meets(surroundings: Surroundings) -> Outcome:
        together.wait(30)
        done.append(surroundings.directory)
        return Outcome({}, [])

    def is_alone(surroundings: Surroundings) -> Outcome:
        return Outcome({}, [] if len({*done, surroundings.directory}) == 3 else ["the others are not done"])

    cases = [Case("alone", is_alone, 60, alone=True), Case("one", meets, 60), Case("other", meets, 60)]
    shared = Fault("F0", "Nothing happens", "everything", lambda quick: cases[quick:])
    assert main(["--output", str(tmp_path)], faults=[shared]) == 0
    assert [row["case"] for row in json.loads((tmp_path / "report.json").read_text())] == ["alone", "one", "other"]


def test_a_case_has_a_directory_that_any_process_can_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def looks(surroundings: Surroundings) -> Outcome:
        return Outcome({"directory": str(surroundings.directory)}, [])

    monkeypatch.chdir(tmp_path)
    assert main(["--output", "here"], faults=[fault(first=looks)]) == 0
    assert f"| directory | {tmp_path}/here/F0-" in (tmp_path / "here/report.md").read_text()


def test_an_interrupt_ends_the_run(tmp_path: Path) -> None:
    faults = [fault(first=is_interrupted, second=holds)]
    assert main(["--jobs", "1", "--output", str(tmp_path)], faults=faults) == INTERRUPTED
    assert list(tmp_path.iterdir()) == [], "neither what the first one left, nor a report of the second"


def test_faults_and_cases_can_be_chosen(tmp_path: Path) -> None:
    faults = [fault(first=loses, second=holds)]
    assert main(["F0", "--case", "second", "--output", str(tmp_path)], faults=faults) == 0
    assert main(["--quick", "--output", str(tmp_path)], faults=faults) == 1
    assert "second" not in (tmp_path / "report.md").read_text()
    assert main(["--case", "third", "--output", str(tmp_path)], faults=faults) == 1


def test_a_fault_that_does_not_exist_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["F99", "--output", str(tmp_path)], faults=[fault(first=holds)])
    assert "F99" in capsys.readouterr().err


def test_a_case_that_hangs_is_an_error_of_its_own() -> None:
    surroundings = Surroundings(Path(), 0, "", limit=0.0, started=0.0)
    with pytest.raises(FaultError, match="not done"):
        surroundings.check()


def descendants(pid: int) -> set[int]:
    """A process's children and theirs, whatever session they are in."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended meanwhile
            continue
    found, latest = set[int](), {pid}
    while latest := {child for child, parent in parents.items() if parent in latest}:
        found |= latest
    return found


@pytest.mark.parametrize("how", ["Ctrl-C in a terminal", "SIGTERM"])
def test_an_interrupted_run_ends_everything_that_it_started(how: str, tmp_path: Path) -> None:
    """A terminal's Ctrl-C goes to all processes of the foreground; SIGTERM to the runner alone."""
    progress = tmp_path / "progress"
    with progress.open("wb") as output:
        runner = subprocess.Popen(
            [sys.executable, "-m", "tests.faults", "F1", "--case", "redis", "--output", str(tmp_path)],
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: "kills of 200" in progress.read_text() or runner.poll() is not None, "a kill", timeout=90)
        started = descendants(runner.pid)
    finally:
        if how == "SIGTERM":
            runner.terminate()
        else:
            os.killpg(runner.pid, signal.SIGINT)
        code = runner.wait(90)
    assert code == INTERRUPTED, progress.read_text()
    assert len(started) >= 5, "the stack, its server, two workers, Redis"
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), "the end of all processes")
