"""The benchmark runs, on the real server, and a wrong answer cannot pass for a fast one."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.contenders import Contender
from bench.errors import BenchError
from bench.programs import ROOT, Programs, Scenario, build, measure
from bench.results import Results, markdown
from bench.sdk import SCENARIOS
from bench.workers import EchoState, StatefulEcho
from rr_tcp import App, StatefulProtocol
from rr_tcp.sessions import StateCodec
from rr_tcp.testing import ConnectionDriver, MemorySessionStore

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="the load generator is built with Go")

CEILING = Contender("null", "ceiling", ())
CONTENDER = Contender("app", "contender", (), target=0.75)
ONE, MANY = Scenario("few", 1), Scenario("many", 64)


@pytest.fixture(scope="module")
def programs() -> Programs:
    return build()


@contextlib.contextmanager
def echo_server(change: bytes, to: bytes, *, after: int = 0) -> Iterator[int]:
    """Serves one client; from the line number `after` on, `change` comes back as `to`. Gives its port."""

    def serve() -> None:
        with contextlib.suppress(OSError):  # the test is over, or the client does not like the answer
            client, _ = listener.accept()
            with client, client.makefile("rwb") as file:
                for number, line in enumerate(file):
                    file.write(line.replace(change, to, 1) if number >= after else line)
                    file.flush()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes an accept that nobody came for
            thread.join()


@needs_go
@pytest.mark.timeout(300)
def test_a_quick_run_measures_every_contender_in_every_scenario(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.sdk", "--quick", "--output", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert run.returncode == 0, run.stderr
    table = (tmp_path / "sdk.md").read_text()
    assert table == run.stdout
    for scenario in SCENARIOS:
        assert scenario.title in table
    for store in ("LMDB", "Redis", "RR KV"):
        assert len(re.findall(rf"state in {store} ", table)) == 1
        assert run.stderr.count(f"state in {store} ") == len(SCENARIOS)
    ET.parse(tmp_path / "sdk.svg")  # noqa: S314 - a file of our own
    assert (tmp_path / "sdk.json").exists()


@needs_go
def test_an_honest_echo_is_counted(programs: Programs) -> None:
    with echo_server(b"", b"") as port:
        assert measure(programs, Scenario("", 1, limit=100), port, 5.0) > 0


@needs_go
@pytest.mark.parametrize("after", [0, 50])
def test_an_echo_with_one_wrong_byte_ends_the_run(programs: Programs, after: int) -> None:
    with echo_server(b"z", b"y", after=after) as port, pytest.raises(BenchError, match=r"sent .* received"):
        measure(programs, Scenario("", 1, limit=100), port, 5.0)


@needs_go
def test_an_echo_that_is_too_short_ends_the_run(programs: Programs) -> None:
    """A connection that ends in mid-answer is an answer that is missing."""

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.sendall(client.recv(64)[:63])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(BenchError, match="no whole answer to line 1"):
            measure(programs, Scenario("", 1, limit=100), listener.getsockname()[1], 5.0)
        thread.join()


@needs_go
def test_nobody_listening_ends_the_run(programs: Programs) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(BenchError, match="connection refused"):
            measure(programs, Scenario("", 1), taken.getsockname()[1], 5.0)


def test_a_ratio_is_taken_within_its_round() -> None:
    """A machine that is slow for a round is slow for all: the ratio of the medians would be 0.5 here."""
    results = Results([CEILING, CONTENDER], [MANY])
    for ceiling, contender in ((100.0, 80.0), (10.0, 8.0), (100.0, 50.0)):
        results.add(MANY, CEILING, ceiling)
        assert results.add(MANY, CONTENDER, contender) == contender / ceiling
    ratio = results.ratio(MANY, CONTENDER)
    assert (ratio.median, ratio.lowest, ratio.highest) == (0.8, 0.5, 0.8)


@pytest.mark.parametrize(("rate", "verdict"), [(75.0, "met"), (70.0, "missed by 0.05")])
def test_the_table_says_whether_a_target_is_met_where_most_clients_are(rate: float, verdict: str) -> None:
    results = Results([CEILING, CONTENDER], [ONE, MANY])
    for _ in range(3):
        for scenario in (ONE, MANY):
            results.add(scenario, CEILING, 100.0)
        results.add(ONE, CONTENDER, 1.0)
        results.add(MANY, CONTENDER, rate)
    assert f"0.75 at many: {verdict} |" in markdown(results)


def test_the_stateful_contender_changes_its_session_with_every_event() -> None:
    store = MemorySessionStore()
    app = App(store=store)
    protocol: StatefulProtocol[EchoState] = StatefulEcho()
    app.add("echo", protocol)
    client = ConnectionDriver(app, "echo")
    client.connect()
    assert client.send(b"a\n", b"b\n") == b"a\nb\n"
    stored = store.load(client.uuid)
    assert stored is not None
    assert StateCodec(EchoState).decode(stored.state) == EchoState(events=2)
