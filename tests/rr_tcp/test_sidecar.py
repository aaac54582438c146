"""What runs beside the workers ends with the server, also with one that was gone before it looked who that is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
NOBODY = "tcp://127.0.0.1:9"

APP = """
from rr_tcp import App
from rr_tcp.testing import MemorySessionStore
app = App(store=MemorySessionStore())
app.on_shutdown(lambda: open(__file__ + ".shut", "w"))  # a worker's, which no sidecar is
"""

SERVER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "rr_tcp", *sys.argv[1:]])
print(child.pid, flush=True)
"""
"""Starts a process and is gone at once."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["watchdog"],
        ["exporter", "--rpc", NOBODY, "--interval", "0.1"],
        ["reap", "{app}:app", "--rpc", NOBODY, "--every", "0.1"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_server_that_is_gone_already_leaves_nobody_behind(arguments: Sequence[str], tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP)
    command = [sys.executable, "-c", SERVER, *(argument.format(app=app) for argument in arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        server.wait()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), f"the end of {arguments[0]}")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["app.py"]
