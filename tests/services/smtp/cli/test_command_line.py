"""`python -m services.smtp`."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.smtp import MailEnvelope
from services.smtp.cli import main
from services.smtp.mailstore.sqlite import SqliteMailStore

ROOT = Path(__file__).parents[4]
CONTENT = b"\xff\xfe\r\nbytes\r\n\0"
LARGE = os.urandom(5_000_000)  # more than any pipe holds


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with two mails."""
    store = SqliteMailStore(tmp_path / "mail.db")
    for number, content in enumerate([CONTENT, LARGE]):
        envelope = MailEnvelope(
            id=f"{number:032}",
            mail_from="" if number else "from@a.test",
            rcpt_tos=("one@b.test", "two@b.test"),
            received_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            peer="127.0.0.1:1234",
        )
        store.add(envelope, (content,))
    store.close()
    return f"sqlite:///{tmp_path}/mail.db"


def run(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, bytes, str]:
    output, errors = io.BytesIO(), io.StringIO()
    code = main(arguments, env=env or {}, output=output, errors=errors)
    return code, output.getvalue(), errors.getvalue()


def test_mails_are_listed_one_a_line(url: str) -> None:
    code, output, errors = run("mails", env={"MAIL_STORE": url})
    assert (code, errors) == (0, "")
    first, second = output.decode().splitlines()
    assert first.split() == [
        "0" * 32,
        "2026-01-02T03:04:05.000000Z",
        str(len(CONTENT)),
        "127.0.0.1:1234",
        "<from@a.test>",
        "<one@b.test>,",
        "<two@b.test>",
    ]
    assert "  <>  " in second


def test_mails_are_listed_as_json(url: str) -> None:
    code, output, _ = run("--store", url, "mails", "--json")
    assert code == 0
    first, second = json.loads(output)
    assert first == {
        "id": "0" * 32,
        "mail_from": "from@a.test",
        "rcpt_tos": ["one@b.test", "two@b.test"],
        "size": len(CONTENT),
        "received_at": "2026-01-02T03:04:05.000000Z",
        "peer": "127.0.0.1:1234",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "helo": "",
        "protocol": "ESMTP",
        "mail_options": [],
        "rcpt_options": [],
    }
    assert second["mail_from"] == ""


def test_the_store_of_the_command_line_comes_before_that_of_the_environment(url: str) -> None:
    code, output, _ = run("--store", url, "mails", env={"MAIL_STORE": "sqlite:///elsewhere.db"})
    assert (code, len(output.splitlines())) == (0, 2)


def test_a_mail_is_printed_byte_for_byte(url: str) -> None:
    assert run("--store", url, "mail", "0" * 32) == (0, CONTENT, "")


def test_a_mail_that_is_not_there_is_an_error(url: str) -> None:
    code, output, errors = run("--store", url, "mail", "unknown")
    assert (code, output) == (1, b"")
    assert errors.startswith("there is no mail unknown")


def test_a_store_that_is_not_there_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    code, output, errors = run("--store", f"sqlite:///{tmp_path}/none.db", "mails")
    assert (code, output) == (1, b"")
    assert f"there is no mail store {tmp_path}/none.db" in errors
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_named_so_is_an_error() -> None:
    code, _, errors = run("--store", "mail.db", "mails")
    assert code == 2
    assert "sqlite:///relative/path.db" in errors


def test_a_command_line_that_makes_no_sense_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("nothing")
    assert ended.value.code == 2
    assert "usage: python -m services.smtp" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["mails"], ["mails", "--json"], ["mail", f"{1:032}"]], ids=" ".join)
def test_an_output_that_cannot_be_written_is_an_error_without_a_traceback(url: str, arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "services.smtp", *arguments],
            cwd=ROOT,
            env={"MAIL_STORE": url},
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=30,
        )
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "the output cannot be written: [Errno 28] No space left on device",
    ]


def test_a_damaged_row_is_an_error_without_a_traceback(url: str, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "mail.db")) as connection:
        connection.execute("UPDATE mail SET rcpt_tos = 'x' WHERE seq = 2")
        connection.commit()
    code, output, errors = run("--store", url, "mails")
    assert (code, len(output.splitlines())) == (1, 1)
    assert f"damaged at mail {1:032}" in errors


def test_the_store_is_that_of_the_env_file_where_the_environment_names_none(url: str, tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    settings.write_text(f"MAIL_STORE={url}\n")
    command = [sys.executable, "-m", "services.smtp", "mail", "0" * 32]
    for env in ({"ENV_FILE": str(settings)}, {"ENV_FILE": str(settings), "MAIL_STORE": ""}):
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=True, timeout=30)
        assert done.stdout == CONTENT


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["mails"], ["mail", f"{1:032}"]], ids=["mails", "mail"])
def test_a_reader_that_is_gone_is_no_error_on_the_screen(url: str, arguments: list[str], unbuffered: str) -> None:
    """As with `... mail ID | head -0`."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "services.smtp", *arguments],
            cwd=ROOT,
            env={"MAIL_STORE": url, "PYTHONUNBUFFERED": unbuffered},
            stdout=write_end,
            stderr=subprocess.PIPE,
            check=False,
            timeout=30,
        )
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_stops_early_is_told_from_one_that_read_all(url: str, unbuffered: str) -> None:
    """A single `write` that is cut short by the end of the pipe says so by its return value only."""
    with subprocess.Popen(
        [sys.executable, "-m", "services.smtp", "mail", f"{1:032}"],
        cwd=ROOT,
        env={"MAIL_STORE": url, "PYTHONUNBUFFERED": unbuffered},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1) == LARGE[:1]
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(("number", "content"), [(0, CONTENT), (1, LARGE)], ids=["small", "large"])
def test_the_module_prints_a_mail_whole(url: str, unbuffered: str, number: int, content: bytes) -> None:
    command = [sys.executable, "-m", "services.smtp", "mail", f"{number:032}"]
    env = {"MAIL_STORE": url, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=True, timeout=30)
    assert (done.stdout, done.stderr) == (content, b"")


@pytest.mark.parametrize(
    "arguments", [["prune"], ["prune", "--older", "week"], ["mails", "--since", "then"], ["--store", "x://y", "mails"]]
)
def test_arguments_that_make_no_sense_end_with_2_and_a_word_of_what_would(url: str, arguments: list[str]) -> None:
    code, output, errors = run(*([] if "--store" in arguments else ["--store", url]), *arguments)
    assert (code, output) == (2, b"")
    assert "--older 7d" in errors or "e.g. 7d" in errors or "e.g. 10m" in errors or "sqlite:///" in errors
