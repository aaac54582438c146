"""`rr-tcp new` makes the whole service, or changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rr_tcp.cli import main
from rr_tcp.cli.clone import EDITS, Service
from rr_tcp.cli.new import write
from rr_tcp.errors import ConfigurationError

CLONE = {
    "workers/all.py": """\
import os

from rr_tcp import App
from workers import (
    echo,
    smtp,
)
from workers.settings import new_app


def build_app() -> App:
    app = new_app(os.environ)
    smtp.add_to(app, os.environ)
    echo.add_to(app, os.environ)
    return app
""",
    ".rr.yaml": """\
rpc:
  listen: "tcp://127.0.0.1:${RPC_PORT:-6001}"
tcp:
  servers:
    # A comment.
    smtp:
      addr: "tcp://${LISTEN_HOST:-127.0.0.1}:${SMTP_PORT:-1025}"
      delimiter: "\\n"

  pool:
    supervisor:
      watch_tick: 1s
""",
    ".env.example": """\
#SMTP_PORT=1025

#RPC_PORT=6001

#EDGE_SMTPS_PORT=465
""",
    "docker-compose.yml": """\
services:
  stack:
    environment:
      LOG_LEVEL:
    ports:
      - "${PUBLISH_HOST:-127.0.0.1}:${SMTP_PORT:-1025}:1025"
    volumes: ["mail:/var/lib/mail"]
  edge:
    environment:
      EDGE_SETTING:
    ports:
      - "${PUBLISH_HOST:-127.0.0.1}:${EDGE_SMTPS_PORT:-465}:1465"
""",
    "services/env_file.py": "",
    "workers/settings.py": "",
}
"""What `new` looks at of a clone; an integration test has the real files."""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in CLONE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def refused(clone: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `new`, which must fail and change nothing; gives what it says."""

    def run(*argv: str) -> str:
        before = contents(clone)
        assert main(["new", *argv]) == 1
        assert contents(clone) == before
        output = capsys.readouterr()
        assert output.out == ""
        return output.err

    return run


@pytest.mark.parametrize(
    ("name", "prefix", "variable"), [("chat", "Chat", "CHAT"), ("my_chat", "MyChat", "MY_CHAT"), ("a1", "A1", "A1")]
)
def test_a_name_gives_the_names_of_classes_and_variables(name: str, prefix: str, variable: str) -> None:
    service = Service(name, 9000)
    assert (service.class_prefix, service.variable_prefix) == (prefix, variable)


def test_it_says_what_it_made_and_what_is_next(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(clone)
    assert main(["new", "chat"]) == 0
    after = contents(clone)
    said = capsys.readouterr().out
    made = after.keys() - before.keys()
    changed = {path for path in before if after[path] != before[path]}
    assert "services/chat/protocol.py" in made
    assert changed == set(EDITS)
    assert all(f"  {path}\n" in said for path in made | changed)
    assert "make test" in said
    assert "port 9000 (CHAT_PORT)" in said


def test_nothing_of_the_placeholder_is_left(clone: Path) -> None:
    before = contents(clone)
    assert main(["new", "chat"]) == 0
    for path in contents(clone).keys() - before.keys():
        assert "sample" not in path
        assert "sample" not in (clone / path).read_text().lower()


def test_a_service_stands_behind_the_others_in_each_file(clone: Path) -> None:
    assert main(["new", "my_chat"]) == 0
    added = {
        path: [line for line in (clone / path).read_text().splitlines() if line not in CLONE[path].splitlines()]
        for path in EDITS
    }
    assert added == {
        "workers/all.py": ["    my_chat,", "    my_chat.add_to(app, os.environ)"],
        ".rr.yaml": ["    my_chat:", '      addr: "tcp://${LISTEN_HOST:-127.0.0.1}:${MY_CHAT_PORT:-9000}"'],
        ".env.example": [
            "#MY_CHAT_PORT=9000",
            "# The longest line that my_chat answers, in bytes (make run and Compose).",
            "#MY_CHAT_MAX_LINE=65536",
            "# When its connections are closed: seconds without an event, and from their beginning; 0 for no limit.",
            "#MY_CHAT_IDLE_LIMIT=300",
            "#MY_CHAT_AGE_LIMIT=86400",
        ],
        "docker-compose.yml": [
            "      MY_CHAT_MAX_LINE:",
            "      MY_CHAT_IDLE_LIMIT:",
            "      MY_CHAT_AGE_LIMIT:",
            '      - "${PUBLISH_HOST:-127.0.0.1}:${MY_CHAT_PORT:-9000}:9000"',
        ],
    }
    assert "\n#SMTP_PORT=1025\n#MY_CHAT_PORT=9000\n" in "\n" + (clone / ".env.example").read_text()
    compose = (clone / "docker-compose.yml").read_text()
    assert "      LOG_LEVEL:\n      MY_CHAT_MAX_LINE:\n" in compose
    assert ':1025"\n      - ' in compose


def test_it_works_from_any_directory_of_the_clone(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone / "services")
    assert main(["new", "chat"]) == 0
    assert (clone / "workers/chat.py").is_file()


def test_each_service_gets_a_port_of_its_own(clone: Path) -> None:
    for argv in (["a"], ["b", "--port", "9001"], ["c"]):
        assert main(["new", *argv]) == 0
    configuration = (clone / ".rr.yaml").read_text()
    for variable in ("A_PORT:-9000}", "B_PORT:-9001}", "C_PORT:-9002}"):
        assert variable in configuration


def test_workers_are_imported_in_the_linters_order(clone: Path) -> None:
    for name in ("echo10", "echo2", "x", "chat"):
        assert main(["new", name]) == 0
    imports = (clone / "workers/all.py").read_text().partition("from workers import (")[2].partition(")")[0]
    assert imports.replace(",", "").split() == ["chat", "echo", "echo2", "echo10", "smtp", "x"]


@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("smtp", "SMTP_PORT"),
        ("rpc", "RPC_PORT"),
        ("app", "the name app in workers/all.py"),
        ("os", "the name os in workers/all.py"),
        ("env_file", "services/env_file.py"),
        ("settings", "workers/settings.py"),
    ],
)
def test_a_name_that_is_taken_is_refused(refused: Callable[..., str], name: str, because: str) -> None:
    assert because in refused(name)


def test_no_file_is_ever_overwritten(refused: Callable[..., str], clone: Path) -> None:
    (clone / "workers/chat.py").write_text("mine")
    assert "there is workers/chat.py" in refused("chat")


def test_a_port_of_another_listener_is_refused(refused: Callable[..., str]) -> None:
    assert "port 1025" in refused("chat", "--port", "1025")


@pytest.mark.parametrize("path", EDITS)
def test_a_file_of_an_unknown_form_is_named(refused: Callable[..., str], clone: Path, path: str) -> None:
    (clone / path).write_text("rewritten: yes\n" if path.endswith(".yml") else "# rewritten\n")
    assert f"{path} has changed so much" in refused("chat")


def test_outside_of_a_clone_it_says_what_a_clone_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "chat"]) == 1
    assert "workers/all.py" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_before_a_failure_is_undone(tmp_path: Path) -> None:
    """Also directories that were made, and files that were changed."""
    first, missing = tmp_path / "first", tmp_path / "missing"
    first.write_text("before")
    made = {tmp_path / "new/deep/one": "1", tmp_path / "new/two": "2"}
    with pytest.raises(ConfigurationError, match=f"cannot write {missing}"):
        write(made, {first: "after", missing: "never"})
    assert contents(tmp_path) == {"first": b"before"}
    assert list(tmp_path.iterdir()) == [first]
