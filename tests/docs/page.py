"""Runs the blocks of a page as a reader would, from top to bottom, in an empty directory.

What a block is:

- with a file's name as title: that file. A server that reloads has done so before the next block.
- `bash` of the "first terminal": a server, which runs until the next block of the first terminal, or the page's end.
- `bash` otherwise: commands that end, and end well.
- `python` without a title: a program that ends well.
- `text` with the title "output": what the block before wrote to stdout; `...` stands for anything.
- `text` otherwise, and `console`: not run. `test_blocks` says why, command by command.

Ports are replaced by free ones, and shared memory by the directory; everything else is as it stands.
"""

from __future__ import annotations

import doctest
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from rr_tcp.testing import free_ports
from tests.docs.blocks import ROOT, Block
from tests.support.waiting import wait_until

SERVER_TERMINAL = "first terminal"
TERMINALS = (SERVER_TERMINAL, "second terminal")
OUTPUT = "output"

PORTS = ("9000", "6001", "2112")
"""What the documentation's services, RPC servers and metrics pages listen on; the first is the service's."""

_COMMAND_TIMEOUT = 120
_END_TIMEOUT = 45


class PageRunner:
    """Runs blocks one after the other; `close` ends what still runs.

    Args:
        directory: an empty one.
        binary: the RoadRunner server.
    """

    def __init__(self, directory: Path, binary: Path) -> None:
        self._directory = directory
        self._ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._log = directory / "first-terminal.log"
        self._server: subprocess.Popen[bytes] | None = None
        self._reloads = False
        self._output = ""
        self._env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RR_BINARY": str(binary),
            "RR_RPC": f"tcp://127.0.0.1:{self._ports['6001']}",
        }
        (directory / "bin").mkdir()
        (directory / "bin/rr").symlink_to(binary)

    def run(self, block: Block) -> None:
        """Runs one block; an assertion tells which one failed and how."""
        text = self._substitute(block.text)
        match block.language, block.title:
            case "bash", terminal if terminal == SERVER_TERMINAL:
                self._stop()
                self._start(block, text)
            case "bash", _:
                self._output = self._command(block, ["bash", "-euo", "pipefail", "-c", text])
            case "python", "":
                self._output = self._command(block, [sys.executable, "-W", "error", "-c", text])
            case "text", title if title == OUTPUT:
                flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
                matches = doctest.OutputChecker().check_output(text, self._output, flags)
                assert matches, f"{block}: the output is\n{self._output}"
            case "text" | "console", "":
                pass
            case _, file:
                self._write(file, text)

    def close(self) -> None:
        """Ends the server."""
        self._stop()

    def _substitute(self, text: str) -> str:
        for port, free in self._ports.items():
            text = re.sub(rf"\b{port}\b", str(free), text)
        return re.sub(r"lmdb:///dev/shm/", f"lmdb://{self._directory}/", text)

    def _write(self, name: str, text: str) -> None:
        reloads = self._reload_count()
        (self._directory / name).write_text(text)
        if self._reloads and name.endswith(".py"):
            self._wait_for(lambda: self._reload_count() > reloads, f"the reload after {name} changed")

    def _command(self, block: Block, command: list[str]) -> str:
        done = subprocess.run(
            command,
            cwd=self._directory,
            env=self._env,
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT,
        )
        assert done.returncode == 0, f"{block} ended with {done.returncode}\n{done.stdout}{done.stderr}{self._quoted()}"
        return done.stdout

    def _start(self, block: Block, text: str) -> None:
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                ["bash", "-c", f"exec {text}"],
                cwd=self._directory,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._reloads = "rr_tcp serve" in text
        self._wait_for(self._accepts, f"{block}: a server on port 9000")

    def _stop(self) -> None:
        """Ctrl-C."""
        server, self._server, self._reloads = self._server, None, False
        if server is None:
            return
        with ExitStack() as stack:
            stack.callback(server.wait)
            stack.callback(server.kill)
            server.send_signal(signal.SIGINT)
            code = server.wait(_END_TIMEOUT)
        assert code == 0, f"the first terminal's server ended with {code}{self._quoted()}"

    def _accepts(self) -> bool:
        with socket.socket() as client:
            client.settimeout(1)
            return client.connect_ex(("127.0.0.1", self._ports["9000"])) == 0

    def _reload_count(self) -> int:
        return self._log.read_text().count("\nreloaded: ") if self._reloads else 0

    def _wait_for(self, condition: Callable[[], bool], what: str) -> None:
        def look() -> bool:
            if self._server is None or self._server.poll() is not None:
                self._server = None  # nothing is left to stop
                pytest.fail(f"the first terminal's server ended by itself{self._quoted()}")
            return condition()

        try:
            wait_until(look, what)
        except AssertionError as error:
            error.add_note(self._quoted())
            raise

    def _quoted(self) -> str:
        return f"\n--- first terminal ---\n{self._log.read_text()}" if self._log.exists() else ""
