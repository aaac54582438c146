"""Whatever a handler does to its process, every client gets its own answers, on the real server.

While a handler misbehaves, bystanders on other connections of the same server ask without pause and check each answer.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rr_tcp.process import END_TIMEOUT
from rr_tcp.testing import ServedApp, serve_app
from tests.integration.conftest import ServeApp, connect, process_exists, receive_all
from tests.integration.unsafe import ERROR_REPLY
from tests.support.waiting import wait_until

APP = "tests.integration.unsafe:build_app"


class Bystander(threading.Thread):
    """A client that asks, and checks its answers, until it is stopped.

    Attributes:
        rounds: questions that got their answers.
        problem: what it got instead, empty if nothing.
    """

    def __init__(self, name: str, port: int) -> None:
        super().__init__()
        self.rounds = 0
        self.problem = ""
        self._name = name
        self._client = connect(port)
        self._ended = threading.Event()

    def run(self) -> None:
        with self._client, self._client.makefile("rb") as answers:
            while not self._ended.is_set():
                question = b"%s %d\n" % (self._name.encode(), self.rounds)
                try:
                    self._client.sendall(question)
                    answer = answers.readline()
                except OSError as error:
                    self.problem = f"{question!r}: {error}"
                    return
                if answer != question:
                    self.problem = f"{question!r} was answered by {answer!r}"
                    return
                self.rounds += 1

    def end(self) -> None:
        self._ended.set()
        self.join()


@contextlib.contextmanager
def bystanders(served: ServedApp) -> Iterator[None]:
    """Clients that must get their own answers during the block, and after it again."""
    everybody = [Bystander(f"{server}-{number}", port) for server, port in served.ports.items() for number in range(2)]
    for bystander in everybody:
        bystander.start()
    try:
        _ask_again(everybody)
        yield
        _ask_again(everybody)
    finally:
        for bystander in everybody:
            bystander.end()
    assert [bystander.problem for bystander in everybody] == [""] * len(everybody)


def _ask_again(everybody: list[Bystander]) -> None:
    before = [bystander.rounds for bystander in everybody]
    wait_until(
        lambda: all(each.problem or each.rounds > count + 20 for each, count in zip(everybody, before, strict=True)),
        "20 more answers to every bystander",
    )


@pytest.fixture(scope="module")
def served(rr_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    """One server for all, so that a harm that shows late shows."""
    directory = tmp_path_factory.mktemp("safety")
    env = {"CHILD_FILE": str(directory / "child")}
    with serve_app(APP, "unsafe", "function", binary=rr_binary, directory=directory, env=env) as served:
        yield served


def whole_pool(served: ServedApp) -> set[int]:
    """The pids of the workers, as soon as there are two."""
    pids: set[int] = set()

    def two() -> bool:
        pids.clear()
        pids.update(served.pids())
        return len(pids) == 2

    wait_until(two, "a whole pool")
    return pids


def ask(served: ServedApp, line: str, server: str = "unsafe") -> bytes:
    """What is answered until the connection is closed, or up to the end of a line."""
    with connect(served.ports[server]) as client:
        client.sendall(line.encode() + b"\n")
        return client.makefile("rb").readline() or b"closed"


def told_pids(served: ServedApp, what: str) -> list[int]:
    """The pids that handlers wrote to the log."""
    return [int(pid) for pid in re.findall(rf"{what}: (\d+)", served.log.read_text())]


@pytest.mark.parametrize("server", ["unsafe", "function"])
@pytest.mark.parametrize("line", ["prints", "writes", "writes_in_c", "prints_in_a_thread"])
def test_output_never_reaches_the_wire(served: ServedApp, line: str, server: str) -> None:
    before = whole_pool(served)
    with bystanders(served):
        for _ in range(10):
            assert ask(served, line, server).startswith(b"done ")
    assert served.pids() == before
    assert "noise on stdout" in served.log.read_text()


@pytest.mark.parametrize("server", ["unsafe", "function"])
@pytest.mark.parametrize(
    "line", ["raises_unprintable", "raises_much", "raises_surrogates", "recurses", "wants_all_memory"]
)
def test_an_exception_of_any_kind_costs_its_connection_and_no_worker(served: ServedApp, line: str, server: str) -> None:
    before = whole_pool(served)
    with bystanders(served), connect(served.ports[server]) as client:
        client.sendall(line.encode() + b"\n")
        assert receive_all(client) == ERROR_REPLY
    assert served.pids() == before


@pytest.mark.parametrize("server", ["unsafe", "function"])
@pytest.mark.parametrize(
    "line", ["exits", "exits_at_once", "raises_generator_exit", "raises_keyboard_interrupt", "raises_cancelled"]
)
def test_a_handler_that_ends_its_worker_costs_its_connection(served: ServedApp, line: str, server: str) -> None:
    before = whole_pool(served)
    with bystanders(served), connect(served.ports[server]) as client:
        client.sendall(line.encode() + b"\n")
        assert receive_all(client) == b""
        wait_until(lambda: len(whole_pool(served) & before) == 1, "a new worker for the one that ended")


@pytest.mark.parametrize("server", ["unsafe", "function"])
@pytest.mark.parametrize(
    ("line", "code"),
    [("forks_and_returns", 1), ("forks_and_raises", 1), ("forks_and_exits", 3), ("forks_and_exits_at_once", 7)],
)
def test_a_forked_child_never_answers_and_never_goes_on_as_a_worker(
    served: ServedApp, line: str, code: int, server: str
) -> None:
    """The parent waits for its child, so it is the child that is seen to end; its exit code is its own."""
    before = whole_pool(served)
    with bystanders(served):
        for _ in range(3):
            assert ask(served, line, server) == b"child ended with %d\n" % code
    assert served.pids() == before


def test_a_child_forked_in_a_coroutine_cannot_run_its_parents_event_loop(served: ServedApp) -> None:
    before = whole_pool(served)
    with bystanders(served):
        for _ in range(3):
            assert ask(served, "forks_in_a_coroutine") == b"child ended with 1\n"
    assert served.pids() == before


def test_a_child_that_lives_on_does_not_hide_that_its_worker_died(served: ServedApp) -> None:
    """It holds no copy of the wire: the connection is closed at once, not when `exec_ttl` is over."""
    child_file = served.log.with_name("child")
    with bystanders(served):
        started = time.monotonic()
        assert ask(served, "dies_with_a_living_child") == b"closed"
        assert time.monotonic() - started < 10
        child = int(child_file.read_text())
        assert process_exists(child)
        os.kill(child, signal.SIGKILL)
        whole_pool(served)


def test_a_threads_late_answer_reaches_nobody(served: ServedApp) -> None:
    with bystanders(served):
        assert ask(served, "answers_late").startswith(b"done ")
        wait_until(lambda: "late answers:" in served.log.read_text())
    assert "late answers: 0 sent, True" in served.log.read_text()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
@pytest.mark.parametrize("line", ["hangs", "hangs_in_a_coroutine"])
def test_a_signal_ends_the_worker_at_once_and_costs_the_connection_it_handles(
    served: ServedApp, name: str, line: str
) -> None:
    before = whole_pool(served)
    with connect(served.ports["unsafe"]) as client:
        reported = len(told_pids(served, "hanging"))
        client.sendall(line.encode() + b"\n")
        wait_until(lambda: len(told_pids(served, "hanging")) > reported)
        pid = told_pids(served, "hanging")[-1]
        with bystanders(served):
            os.kill(pid, signal.Signals[name])
            assert receive_all(client) == b""
            wait_until(lambda: whole_pool(served) & before == before - {pid}, "a new worker for the one that ended")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_to_an_idle_worker_costs_nobody(served: ServedApp, name: str) -> None:
    pid, other = whole_pool(served)
    with connect(served.ports["unsafe"]) as client:
        client.sendall(b"before\n")
        assert client.recv(100) == b"before\n"
        os.kill(pid, signal.Signals[name])
        wait_until(lambda: whole_pool(served) & {pid, other} == {other}, "a new worker for the one that ended")
        client.sendall(b"after\n")
        assert client.recv(100) == b"after\n"


def test_a_handler_that_closes_the_standard_files_closes_no_wire(served: ServedApp) -> None:
    with bystanders(served):
        answer = ask(served, "closes_the_standard_files")
        assert answer.startswith(b"done ")
    pid = int(answer.split()[1])
    assert pid in whole_pool(served)
    # What it opens from now on may get the numbers of the standard files: it must not serve the other tests.
    wait_until(lambda: _ended_by_exit(served, pid), "the end of the worker")


def _ended_by_exit(served: ServedApp, pid: int) -> bool:
    """Has a worker exit. They take turns: after an even number of events it would never be this one's."""
    assert ask(served, "an odd number of events") == b"an odd number of events\n"
    assert ask(served, "exits") == b"closed"
    return pid not in whole_pool(served)


@pytest.mark.parametrize("line", ["starts_an_endless_thread", "starts_an_endless_task"])
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_no_thread_and_no_task_keeps_a_worker_from_its_end(serve: ServeApp, line: str, how: str) -> None:
    """They have `END_TIMEOUT` after the stop frame, or the end of the relay; the log says what hung."""
    served = serve(APP, "unsafe")
    pids = served.pids()
    started = {int(ask(served, line).split()[1]) for _ in range(8)}
    assert started <= pids
    if how == "stop":
        assert served.server.stop(timeout=30) == 0
        assert f"Timeout (0:00:{END_TIMEOUT:02.0f})!" in served.log.read_text()
    else:
        served.server.kill()
    wait_until(lambda: not any(process_exists(pid) for pid in pids), timeout=END_TIMEOUT + 10)


def test_a_worker_with_nothing_under_way_ends_at_once(serve: ServeApp) -> None:
    served = serve(APP, "unsafe")
    pids = served.pids()
    served.server.kill()
    wait_until(lambda: not any(process_exists(pid) for pid in pids), timeout=END_TIMEOUT - 1)
