"""`python -m services.smtp passwd`."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from services.smtp.auth import Credentials
from services.smtp.cli import main
from services.smtp.users import Users
from services.smtp.users_file import read_users

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users"


def run(*arguments: str, typed: str = "", env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit code, output and errors, with `typed` piped to stdin."""
    output, errors = io.BytesIO(), io.StringIO()
    code = main(("passwd", *arguments), env=env or {}, output=output, errors=errors, stdin=io.StringIO(typed))
    return code, output.getvalue().decode(), errors.getvalue()


def may_login(path: Path, name: str, password: str) -> bool:
    return Users(path).verify(Credentials(name.encode(), password.encode())) == name


def test_a_user_is_added_changed_and_deleted(path: Path) -> None:
    assert run("alice", "--file", str(path), typed="one\n") == (0, f"{path}: alice added\n", "")
    assert may_login(path, "alice", "one")
    assert run("alice", typed="two\r\nnot this", env={"SMTP_USERS": str(path)}) == (0, f"{path}: alice changed\n", "")
    assert may_login(path, "alice", "two")
    assert not may_login(path, "alice", "one")
    assert run("alice", "--delete", "--file", str(path)) == (0, f"{path}: alice deleted\n", "")
    assert read_users(path).hashes == {}


def test_spaces_belong_to_a_password(path: Path) -> None:
    run("alice", "--file", str(path), typed=" two words \n")
    assert may_login(path, "alice", " two words ")


@pytest.mark.parametrize(
    ("arguments", "typed", "message"),
    [
        (["alice"], "x\n", "name one by --file, or set SMTP_USERS"),
        (["al:ice", "--file", "{}"], "x\n", "'al:ice' cannot be the name of a user"),
        (["", "--file", "{}"], "x\n", "'' cannot be the name of a user"),
        (["#alice", "--file", "{}"], "x\n", "'#alice' cannot be the name of a user"),
        (["alice", "--file", "{}"], "", "the password cannot be used: it is empty"),
        (["alice", "--file", "{}"], "secret\x07\n", "the password cannot be used: it holds a character"),
        (["alice", "--file", "{}"], "secret" * 1000, "longer than 1024 characters"),
        (["alice", "--file", "{}", "--delete"], "", "there is no user 'alice' in"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    path: Path, arguments: list[str], typed: str, message: str
) -> None:
    code, output, errors = run(*(argument.format(path) for argument in arguments), typed=typed)
    assert (code, output) == (1, "")
    assert message in errors
    assert "secret" not in errors
    assert not path.exists()


def test_a_password_on_the_command_line_is_refused(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("alice", "secret", "--file", str(path))
    assert "unrecognized arguments" in capsys.readouterr().err
    assert not path.exists()


def at_terminal(path: Path, *answers: str) -> tuple[int, str]:
    """The exit code, and all that a terminal shows, when the command runs in one and these lines are typed."""
    terminal, inside = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-m", "services.smtp", "passwd", "alice", "--file", str(path)],
        cwd=ROOT,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,  # not the terminal of whoever runs the tests
    )
    os.close(inside)
    shown = b""
    for answer in answers:
        while not shown.endswith(b": "):
            shown += os.read(terminal, 1024)
        os.write(terminal, answer.encode() + b"\n")
        shown += b"\n"
    with contextlib.suppress(OSError):  # Linux, at the end of a terminal
        while data := os.read(terminal, 1024):
            shown += data
    os.close(terminal)
    return command.wait(60), shown.decode()


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(path: Path) -> None:
    code, shown = at_terminal(path, "open sesame", "open sesame")
    assert code == 0, shown
    assert "Password for alice: " in shown
    assert "Once more: " in shown
    assert "sesame" not in shown
    assert may_login(path, "alice", "open sesame")


def test_at_a_terminal_two_that_differ_change_nothing(path: Path) -> None:
    code, shown = at_terminal(path, "open sesame", "open sesam")
    assert code == 1
    assert "the two passwords differ; nothing was changed" in shown
    assert not path.exists()


def test_two_commands_at_once_lose_no_user(path: Path) -> None:
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "services.smtp", "passwd", f"user{number}", "--file", str(path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        for number in range(4)
    ]
    for command in commands:
        command.communicate(b"password\n", timeout=60)
        assert command.returncode == 0
    assert set(read_users(path).hashes) == {f"user{number}" for number in range(4)}
