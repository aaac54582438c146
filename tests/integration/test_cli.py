"""`rr-tcp workers`, `reset`, `close` and `probe` on the real server."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rr_tcp.testing import ServedApp
from tests.integration.conftest import ROOT, ServeApp, connect, receive_all

COUNTER = "tests.integration.apps:build_counter"

BRITTLE = """
import pathlib
from rr_tcp import App

app = App()

@app.on("brittle")
def brittle(request):
    return request.body

@app.on_startup
def start():
    if pathlib.Path("broken").exists():
        raise RuntimeError("broken on purpose")
"""


def rr_tcp(*args: str, served: ServedApp | None = None) -> subprocess.CompletedProcess[str]:
    address = ["--rpc", served.rpc_address] if served else []
    return subprocess.run(
        [sys.executable, "-m", "rr_tcp", *args, *address],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ask(client: socket.socket) -> int:
    """The number of lines that the connection has sent, as the counter says."""
    client.sendall(b"x\n")
    return int(client.recv(100).split()[0])


def test_workers_are_listed_as_they_are(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    with connect(served.ports["counter"]) as client:
        for _ in range(10):
            ask(client)
        done = rr_tcp("workers", "--json", served=served)
    assert done.returncode == 0
    workers = json.loads(done.stdout)
    assert {worker["pid"] for worker in workers} == served.pids()
    assert sum(worker["executions"] for worker in workers) >= 10
    for worker in workers:
        assert worker["state"] == "ready"
        assert worker["memory"] > 2**20
        assert 0 < worker["age"] < 60


def test_the_table_is_shown_once_where_there_is_no_terminal(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter", workers=3)
    done = rr_tcp("workers", served=served)
    assert done.returncode == 0
    header, *rows = done.stdout.splitlines()
    assert header.split()[:2] == ["PID", "STATE"]
    assert {int(row.split()[0]) for row in rows} == served.pids()
    assert len(rows) == 3


def test_the_table_is_live_on_a_terminal_until_ctrl_c(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    terminal, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rr_tcp", "workers", "--interval", "0.1", "--rpc", served.rpc_address],
        cwd=ROOT,
        stdin=child,
        stdout=child,
        stderr=subprocess.PIPE,
    )
    os.close(child)
    try:
        shown = b""
        while shown.count(b"PID") < 3:
            shown += os.read(terminal, 65536)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert (process.returncode, errors) == (0, b"")
    assert all(str(pid).encode() in shown for pid in served.pids())


def test_a_reset_replaces_every_worker_and_keeps_connections(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    before = served.pids()
    with connect(served.ports["counter"]) as client:
        assert ask(client) == 1
        done = rr_tcp("reset", served=served)
        assert ask(client) == 2
    assert done.returncode == 0, done.stderr
    old, new = done.stdout.splitlines()[0].removeprefix("workers ").split(" -> ")
    assert {int(pid) for pid in old.split()} == before
    assert {int(pid) for pid in new.split()} == served.pids()
    assert before.isdisjoint(served.pids())


@pytest.fixture
def brittle(serve: ServeApp, tmp_path: Path) -> ServedApp:
    """A server whose workers start only while there is no file `broken`."""
    (tmp_path / "brittle.py").write_text(BRITTLE)
    return serve("brittle:app", "brittle", cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, exec_ttl=2)


def test_a_reset_whose_workers_do_not_start_fails_and_the_next_one_mends_it(brittle: ServedApp, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    failed = rr_tcp("reset", served=brittle)
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "could not replace the workers" in failed.stderr
    listed = rr_tcp("workers", served=brittle)
    assert listed.returncode == 1
    assert "rr-tcp reset" in listed.stderr
    (tmp_path / "broken").unlink()
    mended = rr_tcp("reset", served=brittle)
    assert mended.returncode == 0, mended.stderr
    assert mended.stdout.startswith("workers none -> ")
    with connect(brittle.ports["brittle"]) as client:
        client.sendall(b"x\n")
        assert client.recv(100) == b"x\n"


def test_a_reset_that_takes_longer_than_it_may_fails(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    done = rr_tcp("reset", "--timeout", "0.1", served=served)
    assert done.returncode == 1
    assert "no answer to the reset" in done.stderr


def test_a_connection_is_closed_by_its_uuid(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    with connect(served.ports["counter"]) as client, connect(served.ports["counter"]) as other:
        client.sendall(b"uuid\n")
        done = rr_tcp("close", client.recv(100).decode().strip(), served=served)
        assert done.returncode == 0, done.stderr
        assert receive_all(client) == b""
        assert ask(other) == 1


def test_closing_an_unknown_connection_claims_nothing(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    done = rr_tcp("close", "6f9b9a0e-0000-4000-8000-000000000000", served=served)
    assert done.returncode == 0
    assert "RoadRunner does not tell" in done.stdout


def test_a_probe_tells_by_its_exit_code(serve: ServeApp) -> None:
    served = serve(COUNTER, "counter")
    address = f"127.0.0.1:{served.ports['counter']}"
    assert rr_tcp("probe", "line", address).returncode == 0
    failed = rr_tcp("probe", "smtp", address, "--timeout", "0.5")
    assert failed.returncode == 1
    assert "no answer" in failed.stderr
