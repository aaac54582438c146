"""The file `.env`: what it sets, what is wrong with it, what looks like a slip."""

from __future__ import annotations

from pathlib import Path

import pytest

from rr_tcp import ConfigurationError
from scripts.run_stack import setting_names
from services.env_file import ENV_FILE, environment, misspelt


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings"
    monkeypatch.setenv(ENV_FILE, str(path))
    monkeypatch.delenv("SMTP_PORT", raising=False)
    return path


def test_the_environment_wins_unless_it_is_empty(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("export SMTP_PORT = 2025 # comment\nWORKERS='3'\nLOG_LEVEL=\n")
    monkeypatch.setenv("WORKERS", "4")
    monkeypatch.setenv("SMTP_PORT", "")
    env = environment()
    assert (env["SMTP_PORT"], env["WORKERS"], env.get("LOG_LEVEL")) == ("2025", "4", None)


def test_a_file_that_is_not_there_sets_nothing(file: Path) -> None:
    assert not file.exists()
    assert "SMTP_PORT" not in environment()
    assert misspelt(["SMTP_PORT"]) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("SMTP_PORT=1\n\nthis is a secret word\n", 3),
        ("SMTP_HANDLER='app.Handler\nSMTP_PORT=1\n", 1),
        ("=secret word", 1),
    ],
)
def test_a_line_that_sets_nothing_is_an_error_with_its_number_and_without_its_text(
    text: str, line: int, file: Path
) -> None:
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=f"line {line} of {file}") as error:
        environment()
    assert "secret" not in str(error.value)


def test_a_file_that_cannot_be_read_is_an_error(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        environment()


def test_names_that_look_like_a_setting_are_told(file: Path) -> None:
    file.write_text(
        "SMTP_PROT=2025\nsmtp_port=2025\nSESSION_STORE=rrkv://sessions\nCOMPOSE_PROJECT_NAME=x\nAPP_KEY=y\n"
    )
    assert misspelt(setting_names()) == [
        f"{file} sets SMTP_PROT, which is no setting: is SMTP_PORT meant?",
        f"{file} sets smtp_port, which is no setting: is SMTP_PORT meant?",
    ]
