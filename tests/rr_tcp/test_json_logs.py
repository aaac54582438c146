"""A record is one JSON object on one line, whatever is in it."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from rr_tcp.errors import ConfigurationError
from rr_tcp.events import Request, TcpEvent
from rr_tcp.json_logs import Handled, JsonFormatter, JsonHandler
from rr_tcp.logs import LogFormat, log_format

REQUEST = Request("127.0.0.1:1", TcpEvent.DATA, b"secret body", "u-u-i-d", "smtp")


def record(message: str = "hello %s", *args: object, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("a.logger", logging.INFO, __file__, 1, message, args or ("you",), None)
    for name, value in extra.items():
        setattr(made, name, value)
    return made


def formatted(made: logging.LogRecord, request: Request | None = None) -> dict[str, Any]:
    handled = Handled()
    handled.request = request
    line = JsonFormatter(handled).format(made)
    assert "\n" not in line
    decoded: dict[str, Any] = json.loads(line)
    return decoded


def test_it_has_time_level_logger_pid_and_message() -> None:
    entry = formatted(record())
    assert entry.pop("time").endswith("+00:00")
    assert entry == {"level": "INFO", "logger": "a.logger", "pid": os.getpid(), "message": "hello you"}


def test_it_names_the_connection_and_server_of_the_event_under_way_and_no_contents() -> None:
    entry = formatted(record(), REQUEST)
    assert (entry["connection"], entry["server"]) == ("u-u-i-d", "smtp")
    assert "secret" not in str(entry)


def test_another_threads_record_is_not_of_the_event() -> None:
    made: list[logging.LogRecord] = []
    thread = threading.Thread(target=lambda: made.append(record()))
    thread.start()
    thread.join()
    assert "connection" not in formatted(made[0], REQUEST)


def test_fields_are_keys_of_their_own() -> None:
    entry = formatted(record(fields={"size": 3, "sender": "a@b", "path": Path("/x")}))
    assert (entry["size"], entry["sender"], entry["path"]) == (3, "a@b", "/x")


def test_fields_replace_nothing_that_the_record_has_itself() -> None:
    entry = formatted(record(fields={"message": "own", "level": "own", "server": "own", "kind": "own"}), REQUEST)
    assert (entry["message"], entry["level"], entry["server"], entry["kind"]) == ("hello you", "INFO", "smtp", "own")


@pytest.mark.parametrize(
    "value", ["\udcff", ["\udcff"], {"\udcff": ("\udcff",)}, {"a": [{"b": {"\udcff"}}]}, Path("\udcff")]
)
def test_fields_that_have_no_utf8_form_are_escaped_wherever_they_are(value: object) -> None:
    assert "\\\\udcff" in json.dumps(formatted(record(fields={"value": value})))


def test_a_traceback_is_a_field_and_the_message_stays_short() -> None:
    with pytest.raises(ValueError, match="two") as caught:
        int("two\nlines")
    entry = formatted(record(exc_info=(caught.type, caught.value, caught.tb)))
    assert entry["message"] == "hello you"
    assert entry["traceback"].splitlines()[-1].startswith("ValueError: invalid literal")


def test_what_has_no_utf8_form_is_escaped() -> None:
    assert formatted(record("name \udcff%s", ""))["message"] == "name \\udcff"


def test_a_handler_writes_whole_lines_to_its_descriptor(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as file:
        handler = JsonHandler(file.fileno())
        for number in range(3):
            handler.handle(record("n %d\nx", number))
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["n 0\nx", "n 1\nx", "n 2\nx"]


@pytest.mark.parametrize(
    ("env", "form"), [({}, "console"), ({"LOG_FORMAT": ""}, "console"), ({"LOG_FORMAT": "json"}, "json")]
)
def test_the_format_is_text_unless_told_otherwise(env: dict[str, str], form: str) -> None:
    assert log_format(env) is LogFormat(form)


def test_a_format_that_there_is_not_is_named_with_what_to_give() -> None:
    with pytest.raises(ConfigurationError, match="LOG_FORMAT is 'xml': give console or json"):
        log_format({"LOG_FORMAT": "xml"})
