"""The command line: what is wrong usage, what is a failure, what is shown, and what is imported for it."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rr_tcp import ConfigurationError
from rr_tcp.cli import COMMANDS, main
from rr_tcp.cli.arguments import host_port, port, rpc_address, seconds
from rr_tcp.cli.loading import AppReference, load_app
from rr_tcp.cli.serve import listeners
from rr_tcp.cli.watch import CodeWatcher
from rr_tcp.cli.workers import age, encode, table
from rr_tcp.plugins.informer import WorkerState

ROOT = Path(__file__).resolve().parents[2]
UUID = "6f9b9a0e-0000-4000-8000-000000000000"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKERS = [
    WorkerState(101, "ready", 7, NOW - timedelta(seconds=5), 32 * 2**20, 1.25, ""),
    WorkerState(99999, "working", 123456, NOW - timedelta(days=3, hours=4), 512 * 2**20 + 2**19, 100.0, ""),
]


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"usage: rr-tcp {command}" in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert capsys.readouterr().out == f"rr_tcp {project['version']}\n"


def test_the_installed_command_is_this_one() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["rr-tcp"].partition(":")
    assert getattr(importlib.import_module(module), function) is main


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["worker"],
        ["worker", "no_name"],
        ["worker", "a/b:app"],
        ["worker", "missing.py:app"],
        ["probe", "http", "127.0.0.1:1"],
        ["probe", "line", "127.0.0.1"],
        ["probe", "line", "127.0.0.1:1", "--timeout", "0"],
        ["close", "not-a-uuid"],
        ["close", UUID, "--rpc", "127.0.0.1:6001"],
        ["reset", "--timeout", "soon"],
        ["workers", "--interval", "-1"],
        ["serve", "m:app", "--listen", "127.0.0.1:9000"],
        ["serve", "m:app", "--listen", "chat=localhost:9000"],
        ["serve", "m:app", "--workers", "0"],
        ["new", "Chat"],
        ["new", "class"],
    ],
)
def test_wrong_usage_ends_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv", [["workers", "--once"], ["workers", "--json"], ["reset"], ["close", UUID]], ids=lambda argv: argv[-1]
)
def test_a_server_that_is_not_there_ends_with_1(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*argv, "--rpc", "unix:///nowhere/rpc.sock"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "Is RoadRunner running" in output.err


def test_rr_rpc_is_where_the_server_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RR_RPC", "unix:///elsewhere/rpc.sock")
    assert main(["workers"]) == 1
    assert "unix:///elsewhere/rpc.sock" in capsys.readouterr().err


def test_a_worker_that_roadrunner_did_not_start_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RR_MODE", raising=False)
    assert main(["worker", "workers.all:build_app"]) == 1
    assert "started by RoadRunner" in capsys.readouterr().err


def imported_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nsys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    return set(done.stdout.split())


def test_a_probe_imports_next_to_nothing() -> None:
    """Healthchecks run it every few seconds. Without site-packages, so what is not the standard library's fails."""
    modules = imported_by("from rr_tcp.cli import main\nmain(['probe', 'connect', '127.0.0.1:1', '--timeout', '0.1'])")
    assert "rr_tcp.probe" in modules
    assert not modules & {"ssl", "asyncio", "logging", "msgspec", "dataclasses", "rr_tcp.exports", "rr_tcp.app"}


def test_an_authority_that_cannot_be_read_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ca.crt").write_text("no certificate")
    for file in (tmp_path / "ca.crt", tmp_path / "none.crt"):
        assert main(["probe", "connect", "127.0.0.1:1", "--ca", str(file)]) == 1
        assert f"--ca {file}: " in capsys.readouterr().err


def test_new_needs_the_standard_library_alone() -> None:
    """It works in a fresh clone, which has no environment."""
    modules = imported_by("import rr_tcp.cli.new")
    assert "rr_tcp.cli.clone" in modules
    assert "msgspec" not in modules


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_time_is_above_zero(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="seconds above 0"):
        seconds(text)


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "٣", ""])
def test_a_port_is_from_1_to_65535(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="from 1 to 65535"):
        port(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:25", ("127.0.0.1", 25)), ("[::1]:25", ("::1", 25)), ("mail.test:25", ("mail.test", 25))],
)
def test_an_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert host_port(text) == address


@pytest.mark.parametrize("text", ["127.0.0.1", ":25", "[]:25", "::1:25", "host:"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        host_port(text)


@pytest.mark.parametrize("text", ["tcp://127.0.0.1:6001", "tcp://[::1]:6001", "unix:///run/rr.sock"])
def test_an_rpc_address_is_kept(text: str) -> None:
    assert rpc_address(text) == text


@pytest.mark.parametrize("text", ["127.0.0.1:6001", "tcp://127.0.0.1", "http://127.0.0.1:6001"])
def test_what_is_no_rpc_address_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        rpc_address(text)


def test_the_table_shows_each_worker() -> None:
    header, first, second = table(WORKERS, NOW).splitlines()
    assert header.split() == ["PID", "STATE", "EXECUTIONS", "MEMORY", "CPU", "AGE"]
    assert first.split() == ["101", "ready", "7", "32.0", "MiB", "1.2", "%", "5s"]
    assert second.split() == ["99999", "working", "123456", "512.5", "MiB", "100.0", "%", "3d04h"]
    assert len(header) == len(first) == len(second)


def test_the_array_has_numbers_in_plain_units() -> None:
    first, _ = json.loads(encode(WORKERS, NOW))
    assert first == {
        "pid": 101,
        "state": "ready",
        "executions": 7,
        "memory": 33554432,
        "cpu": 1.25,
        "created": "2025-12-31T23:59:55Z",
        "age": 5.0,
    }


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        (timedelta(seconds=-1), "0s"),
        (timedelta(seconds=59.9), "59s"),
        (timedelta(seconds=187), "3m07s"),
        (timedelta(hours=2, minutes=5), "2h05m"),
        (timedelta(days=400, hours=1), "400d01h"),
    ],
)
def test_an_age_has_its_two_largest_units(span: timedelta, shown: str) -> None:
    assert age(span) == shown


def test_servers_that_were_not_given_get_the_free_ports_from_9000_on() -> None:
    assert listeners(["a", "b", "c"], {"b": ("0.0.0.0", 9000)}) == {  # noqa: S104 - nothing is bound
        "a": ("127.0.0.1", 9001),
        "b": ("0.0.0.0", 9000),  # noqa: S104
        "c": ("127.0.0.1", 9002),
    }


def test_a_listener_for_a_server_that_the_app_has_not_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"--listen chatt=\.\.\.: the App's servers are chat, echo"):
        listeners(["chat", "echo"], {"chatt": ("127.0.0.1", 9000)})


SERVICE = """
from rr_tcp import App
app = App()
def build():
    return App()
def other():
    return 5
nothing = None
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Writes a file; what is imported from it is forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.chdir(tmp_path)

    def write(name: str, content: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    return write


@pytest.mark.parametrize("name", ["app", "build"])
@pytest.mark.parametrize("where", ["cli_made_service", "cli_made_service.py"])
def test_an_app_or_what_returns_one_is_loaded_by_module_or_file(
    code: Callable[[str, str], Path], where: str, name: str
) -> None:
    code("cli_made_service.py", SERVICE)
    assert load_app(AppReference.parse(f"{where}:{name}")).servers == ()


def test_a_file_of_a_package_is_imported_as_its_module(code: Callable[[str, str], Path], tmp_path: Path) -> None:
    code("below/outer/__init__.py", "")
    code("below/outer/inner/__init__.py", "NAME = 'chat'")
    code("below/outer/inner/made.py", SERVICE + "from . import NAME\napp.on(NAME)(len)")
    reference = AppReference.parse("below/outer/inner/made.py:app")
    assert (reference.module, reference.root) == ("outer.inner.made", tmp_path / "below")
    assert load_app(reference).servers == ("chat",)


def test_a_file_is_named_from_any_directory(code: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    file = code("cli_made_service.py", SERVICE)
    reference = AppReference.parse("cli_made_service.py:app")
    monkeypatch.chdir("/")
    assert AppReference.parse(str(reference)) == reference
    assert str(reference) == f"{file}:app"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("cli_made_service:missing", "there is no 'missing' in the module cli_made_service"),
        ("cli_made_service:nothing", "there is no 'nothing'"),
        ("cli_made_service:other", "is int, not an App nor a function that returns one"),
        ("cli_missing_module:app", "there is no module 'cli_missing_module' in "),
        ("json.py:app", "another module has its name 'json'"),
    ],
)
def test_what_is_no_app_is_said(code: Callable[[str, str], Path], reference: str, message: str) -> None:
    code("cli_made_service.py", SERVICE)
    code("json.py", SERVICE)
    with pytest.raises(ConfigurationError, match=message):
        load_app(AppReference.parse(reference))


def test_a_module_that_the_code_lacks_is_its_own_error(code: Callable[[str, str], Path]) -> None:
    code("cli_made_service.py", "import cli_missing_module")
    with pytest.raises(ModuleNotFoundError, match="cli_missing_module"):
        load_app(AppReference.parse("cli_made_service:app"))


def test_a_change_is_reported_once_and_only_when_it_is_over(tmp_path: Path) -> None:
    file = tmp_path / "below" / "code.py"
    file.parent.mkdir()
    file.write_text("a")
    watcher = CodeWatcher([tmp_path, tmp_path])
    assert watcher.changed() == []
    file.write_text("ab")
    assert watcher.changed() == []
    file.write_text("abc")
    assert watcher.changed() == []
    assert watcher.changed() == [file]
    assert watcher.changed() == []


def test_files_that_come_and_go_are_changes(tmp_path: Path) -> None:
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text("")
    watcher = CodeWatcher([tmp_path])
    old.unlink()
    new.write_text("")
    assert watcher.changed() == []
    assert watcher.changed() == [new, old]


def test_what_is_no_code_of_the_user_is_not_watched(tmp_path: Path) -> None:
    watcher = CodeWatcher([tmp_path])
    for name in (".venv/a.py", "__pycache__/a.py", "env/pyvenv.cfg", "env/lib/a.py", "notes.txt", ".hidden/x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert watcher.changed() == []
    assert watcher.changed() == []
