"""`rr-tcp autoreload` beside a server that something else started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from rr_tcp.testing import serve_app
from tests.integration.conftest import ROOT, connect
from tests.support.waiting import wait_until

CHAT = """
from rr_tcp import App

app = App()
WORD = "one"

@app.on("chat")
def chat(request):
    return f"{WORD}\\n".encode() if request.body else None
"""


def test_saved_code_answers_on_the_same_connection_and_the_end_is_in_order(tmp_path: Path, rr_binary: Path) -> None:
    code, log = tmp_path / "chat.py", tmp_path / "autoreload.log"
    code.write_text(CHAT)
    env = {"PYTHONPATH": f"{ROOT}:{tmp_path}", "PYTHONDONTWRITEBYTECODE": "1"}
    with (
        serve_app("chat:app", "chat", binary=rr_binary, directory=tmp_path, cwd=tmp_path, env=env) as served,
        connect(served.ports["chat"]) as client,
        client.makefile("rb") as answers,
        log.open("wb") as output,
    ):

        def ask() -> bytes:
            client.sendall(b"hello\n")
            return answers.readline()

        assert ask() == b"one\n"
        reloading = subprocess.Popen(
            [sys.executable, "-m", "rr_tcp", "autoreload", "chat:app", "--rpc", served.rpc_address],
            cwd=tmp_path,
            env={**os.environ, **env},
            stdout=output,
            stderr=output,
        )
        try:
            wait_until(lambda: "autoreload: changes of" in log.read_text() or reloading.poll() is not None)
            code.write_text(CHAT.replace("one", "two"))
            wait_until(lambda: ask() == b"two\n", "the new code")
            code.write_text("nonsense(")
            wait_until(lambda: "the old workers go on" in log.read_text(), "a word of the error")
            assert ask() == b"two\n"
            reloading.send_signal(signal.SIGTERM)
            assert reloading.wait(30) == 0, log.read_text()
        finally:
            reloading.kill()
            reloading.wait()
