"""The mail benchmark runs, on the real servers; a mail that was lost, doubled or changed cannot pass for a fast one."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.errors import BenchError
from bench.programs import ROOT, build
from bench.smtp.contenders import CONTENDERS, Contender
from bench.smtp.processes import cpu_seconds, forget_peaks, peak_bytes, tree
from bench.smtp.report import markdown
from bench.smtp.results import Measurement, Results
from bench.smtp.scenarios import BIG, KB, SCENARIOS, TARGETS, Load, Scenario, measure
from bench.smtp.stored import InMaildir, InMailStore
from services.smtp import MailEnvelope, open_mail_store
from tests.support.waiting import wait_until

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="the load generator is built with Go")

BASELINE, OURS = CONTENDERS[0], CONTENDERS[2]
ONE = Scenario(4 * KB, 1, limit=1)


@pytest.fixture(scope="module")
def program() -> Path:
    return build().smtp_load


@contextlib.contextmanager
def smtp_server(replies: Sequence[bytes]) -> Iterator[int]:
    """Serves one client: greets it with the first reply, gives the next one for each line but those of a text."""

    def serve() -> None:
        with contextlib.suppress(OSError):  # the test is over, or the client does not like the answer
            client, _ = listener.accept()
            with client, client.makefile("rwb") as file:
                in_text = False
                for reply in replies:
                    file.write(reply)
                    file.flush()
                    in_text = reply.startswith(b"354")
                    while file.readline() not in {b".\r\n", b""} and in_text:
                        pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes an accept that nobody came for
            thread.join()


HONEST = [b"220 x\r\n", b"250-x\r\n250 y\r\n", b"250 x\r\n", b"250 x\r\n", b"354 x\r\n", b"250 x\r\n"]


@needs_go
@pytest.mark.timeout(300)
def test_a_quick_run_measures_every_contender_in_the_chosen_scenarios(tmp_path: Path) -> None:
    chosen = "4 kB, 16 clients|100 kB, 1 client,|1 MB|10 MB"
    command = [sys.executable, "-m", "bench.smtp", "--quick", "--only", chosen, "--output", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert run.returncode == 0, run.stderr
    table = (tmp_path / "smtp.md").read_text()
    assert table == run.stdout
    for target in TARGETS:
        assert table.count(target.scenario.title) == 3  # the target, the speed, the cost
    for contender in CONTENDERS:
        assert f"| {contender.title} |" in table
        assert run.stderr.count(f": {contender.title} ") == 8 + 2
    ET.parse(tmp_path / "smtp.svg")  # noqa: S314 - a file of our own
    assert (tmp_path / "smtp.json").exists()


@needs_go
@pytest.mark.timeout(300)
def test_ctrl_c_ends_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.smtp", "--only", "^4 kB", "--mail", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        assert any("round 1" in line for line in process.stderr)
        everything = tree([process.pid])
        assert len(everything) > 1 + len(CONTENDERS)
        process.send_signal(signal.SIGINT)
        process.stderr.read()
    assert process.returncode == 130
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in everything), "the end of every process")
    assert list(tmp_path.iterdir()) == []


def test_a_scenario_that_does_not_exist_is_an_error() -> None:
    command = [sys.executable, "-m", "bench.smtp", "--only", "5 kB"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 1
    assert "no scenario's title matches '5 kB'" in run.stderr


@needs_go
def test_every_mail_that_is_acknowledged_is_counted(program: Path) -> None:
    another = [*HONEST[2:], b"221 x\r\n"]
    with smtp_server([*HONEST, *another]) as port:
        load = measure(program, ONE, port, seconds=5)
    assert (load.mails, load.acknowledged, load.size) == (1, 2, 4 * KB)


@needs_go
@pytest.mark.parametrize("wrong", range(len(HONEST)))
def test_any_reply_but_the_expected_one_ends_the_run(wrong: int, program: Path) -> None:
    replies = [*HONEST[:wrong], b"451 not now\r\n"]
    with smtp_server(replies) as port, pytest.raises(BenchError, match=r"expected, received .*not now"):
        measure(program, ONE, port, seconds=5)


@needs_go
def test_a_reply_that_does_not_come_ends_the_run(program: Path) -> None:
    with smtp_server(HONEST[:5]) as port, pytest.raises(BenchError, match="no whole reply, 250 expected"):
        measure(program, ONE, port, seconds=5)


TEXT = b"Subject: x\r\n\r\n"


def load(acknowledged: int) -> Load:
    return Load(acknowledged, 1.0, acknowledged, len(TEXT), hashlib.sha256(TEXT).hexdigest())


def store(url: str, *senders: str, text: bytes = TEXT) -> None:
    with contextlib.closing(open_mail_store(url)) as mails:
        for number, sender in enumerate(senders):
            envelope = MailEnvelope(
                id=f"{number:032x}",
                mail_from=sender,
                rcpt_tos=("a@b.example",),
                received_at=datetime.now(UTC),
                peer="127.0.0.1:1",
            )
            mails.add(envelope, [text])


@pytest.mark.parametrize(
    ("senders", "text", "problem"),
    [
        (["a"], TEXT, "2 mails were acknowledged and 1 are stored"),
        (["a", "b", "c"], TEXT, "2 mails were acknowledged and 3 are stored"),
        (["a", "a"], TEXT, "1 mails are stored more than once, a for one"),
        (["a", "b"], TEXT + b"more\r\n", "2 mails are stored with another text"),
    ],
)
def test_a_store_with_other_mails_than_acknowledged_ends_the_run(
    senders: list[str], text: bytes, problem: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/mail.db"
    store(url, *senders, text=text)
    with pytest.raises(BenchError, match=problem):
        InMailStore(url).check(load(2))


def test_a_store_is_emptied_for_the_next_turn(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/mail.db"
    stored = InMailStore(url)
    store(url, "a", "b")
    stored.check(load(2))
    stored.check(load(0))


def test_a_maildir_must_have_as_many_mails_as_acknowledged(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "1").touch()
    stored = InMaildir(tmp_path)
    with pytest.raises(BenchError, match="2 mails were acknowledged and 1 are stored"):
        stored.check(load(2))
    stored.check(load(1))
    stored.check(load(0))


WORKER = """
import subprocess, sys, time
if len(sys.argv) < 2:
    subprocess.run([sys.executable, __file__, "child"])
else:
    data = b"x" * 64_000_000
    del data
    while time.process_time() < 0.3:
        pass
    print("done", flush=True)
    sys.stdin.read()
"""


def test_processor_time_and_memory_are_those_of_the_descendants(tmp_path: Path) -> None:
    program = tmp_path / "worker.py"
    program.write_text(WORKER)
    command = [sys.executable, str(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        (child,) = tree([process.pid]) - {process.pid}
        assert 0.25 < cpu_seconds([process.pid]) < 5
        assert peak_bytes([child]) > 64_000_000 > peak_bytes([process.pid])
        forget_peaks([child])
        assert peak_bytes([child]) < 64_000_000
        process.communicate()


def results(rate: float, *, rounds: int = 3, contender: Contender = OURS) -> Results:
    """The baseline has a rate of 100 and takes 1 ms; time per byte doubles with the largest mails."""
    made = Results([BASELINE, contender], SCENARIOS, BIG, flushes=[0.0001, 0.0002, 0.0009])
    for _ in range(rounds):
        for scenario in SCENARIOS:
            made.add(scenario, BASELINE, Measurement(100.0, 0.001, 0))
            made.add(scenario, contender, Measurement(rate, 0.002, 0))
        for scenario in BIG:
            slow = 2 if scenario is BIG[-1] else 1
            for each in made.contenders:
                made.add(scenario, each, Measurement(1e8 / scenario.size / slow, 0.001, scenario.size))
    return made


@pytest.mark.parametrize(
    ("rate", "verdicts"),
    [(200.0, ["2.00: met"] * 3), (150.0, ["1.50: missed by 0.50", "1.50: met", "1.50: met"])],
)
def test_the_table_says_which_targets_are_met(rate: float, verdicts: list[str]) -> None:
    lines = [line for line in markdown(results(rate), workers=2).splitlines() if ": 1 |" in line or ": 2 |" in line]
    assert [line.split(" | ")[1].rstrip(" |") for line in lines] == verdicts


def test_few_rounds_say_nothing_of_a_target() -> None:
    assert "too few rounds to say" in markdown(results(200.0, rounds=2), workers=2)


def test_a_ratio_is_taken_within_its_round() -> None:
    """A machine that is slow for a round is slow for all: the ratio of the medians would be 0.5 here."""
    made = Results([BASELINE, OURS], [ONE], [])
    for base, ours in ((100.0, 80.0), (10.0, 8.0), (100.0, 50.0)):
        made.add(ONE, BASELINE, Measurement(base, 0.01, 0))
        made.add(ONE, OURS, Measurement(ours, 0.01, 0))
    ratio = made.speed(ONE, OURS)
    assert (ratio.median, ratio.lowest, ratio.highest) == (0.8, 0.5, 0.8)


def test_the_table_of_big_mails_has_time_per_byte_and_memory() -> None:
    made = results(100.0)
    assert [made.growth(scenario, OURS).median for scenario in BIG] == pytest.approx([1.0, 1.0, 2.0])
    assert "| 1.00 (1.00 to 1.00) | 2.00 (2.00 to 2.00) | 1 MB | 10 MB | 50 MB |" in markdown(made, workers=2)
