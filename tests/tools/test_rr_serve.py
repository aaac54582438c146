"""The server itself: what holds for the official binary holds for our build."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.tools.common import ROOT, VERSION, WAIT


@pytest.fixture(scope="module")
def rr() -> Path:
    subprocess.run([ROOT / "scripts/get-rr"], check=True)
    return ROOT / "bin/rr"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run_rr(rr: Path, *args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([rr, *args], cwd=cwd, capture_output=True, text=True, timeout=WAIT, check=False)


@contextmanager
def serving(
    rr: Path, *args: str | Path, cwd: Path, port: int, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run `rr serve` with an RPC listener on `port`, from its start message to the end of the block."""
    process = subprocess.Popen(
        [rr, "serve", *args], cwd=cwd, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout
            assert "RoadRunner server started" in process.stdout.readline()
            wait_until(lambda: answers(port), "the RPC listener")
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def write_config(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('version: "3"\nrpc:\n  listen: "tcp://127.0.0.1:${TEST_RPC_PORT:-1}"\n' + text)
    return path


def test_the_version_answer_begins_like_that_of_the_official_binary(rr: Path, tmp_path: Path) -> None:
    series = re.escape(VERSION.rpartition(".")[0])
    answer = run_rr(rr, "--version", cwd=tmp_path).stdout
    assert re.match(rf"rr version {series}\.\d+ \(.+\), OS: \w+, arch: \w+$", answer), answer


def test_a_missing_configuration_file_is_an_error_that_names_it(rr: Path, tmp_path: Path) -> None:
    result = run_rr(rr, "serve", "-c", "none.yaml", cwd=tmp_path)
    assert result.returncode == 1
    assert str(tmp_path / "none.yaml") in result.stderr


@pytest.mark.parametrize(
    ("config", "args", "error"),
    [
        ("rpc:\n  listen: tcp://127.0.0.1:1\n", [], "version"),
        ("version: 3\n", [], "version should be a string"),
        ('version: "3"\nrpc: [\n', [], "yaml"),
        ('version: "3"\nendure:\n  grace_period: soon\n', [], "grace_period"),
        ('version: "3"\n', ["-o", "rpc.listen"], "invalid flag"),
    ],
)
def test_a_wrong_configuration_is_an_error(rr: Path, tmp_path: Path, config: str, args: list[str], error: str) -> None:
    (tmp_path / ".rr.yaml").write_text(config)
    result = run_rr(rr, "serve", *args, cwd=tmp_path)
    assert result.returncode == 1
    assert error in result.stderr


def test_a_listener_that_cannot_bind_is_a_failed_start(rr: Path, tmp_path: Path) -> None:
    write_config(tmp_path / ".rr.yaml")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run_rr(rr, "serve", "-o", f"rpc.listen=tcp://127.0.0.1:{taken.getsockname()[1]}", cwd=tmp_path)
    assert result.returncode == 1
    assert "address already in use" in result.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_with_exit_code_0(rr: Path, tmp_path: Path, port: int, stop: signal.Signals) -> None:
    """Without an `endure` section the grace period is 30 s."""
    write_config(tmp_path / ".rr.yaml")
    with serving(rr, "-o", f"rpc.listen=tcp://127.0.0.1:{port}", cwd=tmp_path, port=port) as process:
        process.send_signal(stop)
        output, _ = process.communicate(timeout=WAIT)
    assert process.returncode == 0
    assert "grace timeout is: 30 seconds" in output
    assert not answers(port)


def test_the_second_signal_ends_the_server_at_once(rr: Path, tmp_path: Path, port: int) -> None:
    """Whoever asks twice does not wait for what refuses to stop."""
    pid_file = tmp_path / "pid"
    stubborn = tmp_path / "stubborn.py"
    stubborn.write_text(
        "import os, pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "pathlib.Path(sys.argv[1]).write_text(f'{os.getpid()}\\n')\n"
        "time.sleep(60)\n"
    )
    write_config(
        tmp_path / ".rr.yaml",
        f"service:\n  stubborn:\n    command: '{sys.executable} {stubborn} {pid_file}'\n    timeout_stop_sec: 60\n",
    )
    env = {"TEST_RPC_PORT": str(port)}
    try:
        with serving(rr, cwd=tmp_path, port=port, env=env) as process:
            wait_until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"), "the service")
            process.terminate()
            assert process.stdout
            assert "stop signal received" in process.stdout.readline()
            process.terminate()
            output, _ = process.communicate(timeout=WAIT)
        assert process.returncode == 1
        assert "exit forced" in output
    finally:
        if pid_file.exists():
            os.kill(int(pid_file.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("args", [["-w", "there", "-c", "my.yaml"], ["-c", "there/my.yaml"]])
def test_the_server_works_in_the_directory_given_or_else_in_that_of_its_configuration(
    rr: Path, tmp_path: Path, port: int, args: list[str]
) -> None:
    """A relative configuration file counts from the directory given."""
    write_config(
        tmp_path / "there/my.yaml", "service:\n  mark:\n    command: touch was-here\n    remain_after_exit: false\n"
    )
    with serving(rr, *args, cwd=tmp_path, port=port, env={"TEST_RPC_PORT": str(port)}):
        wait_until((tmp_path / "there/was-here").exists, "the service's mark")


def test_a_dotenv_file_feeds_the_configuration(rr: Path, tmp_path: Path, port: int) -> None:
    write_config(tmp_path / ".rr.yaml")
    dotenv = tmp_path / "my.env"
    dotenv.write_text(f"TEST_RPC_PORT={port}\n")
    with serving(rr, cwd=tmp_path, port=port, env={"DOTENV_PATH": str(dotenv)}):
        pass
