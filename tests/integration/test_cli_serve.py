"""`rr-tcp serve` on the real server: it reloads good code, keeps connections, and survives bad code."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rr_tcp.plugins.informer import Informer
from rr_tcp.rpc import RPC
from rr_tcp.testing import free_ports
from tests.integration.conftest import ROOT, connect, process_exists

CHAT = """
import os

from rr_tcp import App

app = App()
WORD = "one"

@app.on("chat")
def chat(request):
    return f"{WORD} {os.getpid()}\\n".encode() if request.body else None
"""
LIMITED = """
from rr_tcp import App, ConnectionLimits
from rr_tcp.stores import open_store
from services.echo import EchoProtocol

app = App(store=open_store("lmdb:///{directory}/sessions"))
app.add("chat", EchoProtocol(worker=1), limits=ConnectionLimits(idle=60))
"""
TIMEOUT = 40.0  # seconds for any one step, on a slow machine under load


class Serving:
    """One `rr-tcp serve`, its files and what it says."""

    def __init__(self, directory: Path, rr_binary: Path) -> None:
        self.code = directory / "chat.py"
        self.code.write_text(CHAT)
        self.port, self._rpc = free_ports(2)
        self.listen = ["--listen", f"chat=127.0.0.1:{self.port}", "--rpc", f"tcp://127.0.0.1:{self._rpc}"]
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), "RR_BINARY": str(rr_binary)}
        self._log = directory / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, app: str = "chat.py:app", *args: str) -> None:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rr_tcp", "serve", app, *self.listen, *args],
                cwd=self.code.parent,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(TIMEOUT)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_said(self, text: str) -> None:
        assert self.process is not None
        deadline = time.monotonic() + TIMEOUT
        while text not in self.log():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, f"it did not say {text!r}:\n{self.log()}"
            time.sleep(0.02)

    def pids(self) -> set[str]:
        """Of all workers: which of them answers is the server's choice."""
        with contextlib.closing(RPC(f"tcp://127.0.0.1:{self._rpc}", timeout=TIMEOUT)) as rpc:
            return {str(worker.pid) for worker in Informer(rpc).workers("tcp") or ()}

    def replace(self, old: str, new: str) -> None:
        self.code.write_text(CHAT.replace(old, new))

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(TIMEOUT)
            finally:
                self.process.kill()


@pytest.fixture
def serving(tmp_path: Path, rr_binary: Path) -> Iterator[Serving]:
    made = Serving(tmp_path, rr_binary)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def ask(serving: Serving) -> Iterator[Callable[[], list[str]]]:
    """Asks over one connection, opened at the first time: the word of the code, and the worker's pid."""
    clients: list[socket.socket] = []

    def ask() -> list[str]:
        if not clients:
            clients.append(connect(serving.port))
        clients[0].sendall(b"x\n")
        return clients[0].recv(100).decode().split()

    yield ask
    for client in clients:
        client.close()


def test_new_code_is_loaded_and_the_connection_goes_on(serving: Serving, ask: Callable[[], list[str]]) -> None:
    serving.start()
    serving.wait_said(f"ready: chat on 127.0.0.1:{serving.port}; 2 workers")
    assert ask()[0] == "one"
    serving.replace('"one"', '"two"')
    serving.wait_said("reloaded: chat.py changed; 2 new workers")
    assert [ask()[0] for _ in range(4)] == ["two"] * 4


def test_changed_limits_are_said_to_need_a_new_start(serving: Serving, tmp_path: Path) -> None:
    """The reaper, which holds connections to them, goes on with those that it began with."""
    code = LIMITED.replace("{directory}", str(tmp_path).lstrip("/"))
    serving.code.write_text(code)
    serving.start()
    serving.wait_said("ready: ")
    serving.code.write_text(f"{code}# as before\n")
    serving.wait_said("reloaded: ")
    assert "limits of connections" not in serving.log()
    serving.code.write_text(code.replace("idle=60", "idle=90"))
    serving.wait_said("the limits of connections have changed: start again")


def test_two_changes_of_one_size_in_one_second_are_both_loaded(serving: Serving, ask: Callable[[], list[str]]) -> None:
    """Python's cached bytecode would not tell them apart."""
    serving.start()
    serving.wait_said("ready: ")
    changed = int(time.time()) + 10
    for count, word in enumerate(["two", "six"]):
        serving.replace('"one"', f'"{word}"')
        os.utime(serving.code, ns=(changed * 10**9 + count, changed * 10**9 + count))
        deadline = time.monotonic() + TIMEOUT
        while ask()[0] != word:
            assert time.monotonic() < deadline, serving.log()
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("import os", "import os os", "SyntaxError"),
        ("app = App()", "raise RuntimeError('on purpose')", "RuntimeError: on purpose"),
        ("app = App()", "import sys\nsys.exit()", "SystemExit"),
        ("app = App()", "app = 5", "has no attribute 'on'"),
        ("app = App()", "app = App()\n@app.on_startup\ndef start(): raise OSError('no start')", "OSError: no start"),
        ('@app.on("chat")', "", "handles no server"),
    ],
)
def test_code_that_does_not_work_leaves_the_old_workers(
    serving: Serving, ask: Callable[[], list[str]], old: str, new: str, said: str
) -> None:
    serving.start()
    serving.wait_said("ready: ")
    pids = serving.pids()
    serving.replace(old, new)
    serving.wait_said("the new code does not work; the old workers go on")
    serving.wait_said(said)
    word, pid = ask()
    assert word == "one"
    assert pid in pids
    serving.replace('"one"', '"two"')
    serving.wait_said("reloaded: ")
    assert ask()[0] == "two"


def test_a_server_that_the_new_code_adds_is_said_to_need_a_start(serving: Serving) -> None:
    serving.start()
    serving.wait_said("ready: ")
    serving.replace('@app.on("chat")', '@app.on("more")\n@app.on("chat")')
    serving.wait_said("the App's servers are now chat, more: start again")
    serving.wait_said("reloaded: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything_with_exit_code_0(
    serving: Serving, ask: Callable[[], list[str]], number: signal.Signals
) -> None:
    """Also its temporary files."""
    serving.env["TMPDIR"] = str(serving.code.parent)
    serving.start("chat:app")
    serving.wait_said("ready: ")
    assert list(serving.code.parent.glob("rr-tcp-*"))
    pids = serving.pids()
    assert ask()[1] in pids
    assert serving.process is not None
    os.killpg(serving.process.pid, number)
    assert serving.wait() == 0, serving.log()
    assert not any(process_exists(int(pid)) for pid in pids)
    assert not list(serving.code.parent.glob("rr-tcp-*"))


def test_a_port_that_is_taken_is_refused(serving: Serving) -> None:
    """RoadRunner itself would share it."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", serving.port))
        sock.listen()
        serving.start()
        assert serving.wait() == 1
    assert f"cannot listen on 127.0.0.1:{serving.port}" in serving.log()
    assert "--listen chat=127.0.0.1:" in serving.log()


def test_code_that_never_worked_is_said_and_nothing_starts(serving: Serving) -> None:
    serving.replace("app = App()", "raise RuntimeError('on purpose')")
    serving.start()
    assert serving.wait() == 1
    assert "RuntimeError: on purpose" in serving.log()
    assert "RoadRunner server started" not in serving.log()
