"""Log records as JSON, one object on a line: time, level, logger, pid, message, and what the record is about.

A record that is written while an event is handled has the connection's uuid and the server's name. One with an
attribute `fields`, a mapping (`log.info(..., extra={"fields": {...}})`), has those as well, but for names that the
record has itself.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from rr_tcp.events import Request

STDERR: Final = 2


class Handled:
    """The event that the main thread handles.

    Attributes:
        request: the event; None between two events.
    """

    __slots__ = ("request",)

    def __init__(self) -> None:
        self.request: Request | None = None


HANDLED: Final = Handled()
"""Set by `App`; a process handles one event at a time."""


class JsonFormatter(logging.Formatter):
    """Makes of a record one JSON object, without a line end.

    Args:
        handled: where the event under way is found.
    """

    def __init__(self, handled: Handled = HANDLED) -> None:
        super().__init__()
        self._handled = handled
        self._encoder = msgspec.json.Encoder(enc_hook=lambda value: _utf8(str(value)))

    def format(self, record: logging.LogRecord) -> str:
        """The object; its keys are in the same order in every record."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            "message": _utf8(record.getMessage()),
        }
        request = self._handled.request
        if request is not None and record.thread == threading.main_thread().ident:
            entry |= {"connection": request.connection_uuid, "server": request.server}
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping):
            entry = entry | _writable(fields) | entry
        if record.exc_info:
            entry["traceback"] = _utf8(self.formatException(record.exc_info))
        if record.stack_info:
            entry["stack"] = _utf8(self.formatStack(record.stack_info))
        return self._encoder.encode(entry).decode()


class JsonHandler(logging.Handler):
    """Writes each record with one system call.

    Lines of several processes do not mix: a file is appended to, and the kernel writes to a pipe up to 4096 bytes
    (PIPE_BUF) as a whole, and more than that unless the pipe is full (pipe(7), Linux).

    Args:
        fd: an open file descriptor.
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self.setFormatter(JsonFormatter())

    @classmethod
    def on_server_stderr(cls) -> JsonHandler:
        """Writes to the stderr of this process's parent, and where that cannot be shared, to its own.

        It cannot where there is no /proc, where stderr is a socket, such as the journal's, or a file that the parent
        does not append to: it would write over our lines. RoadRunner then makes of what it reads the message of a
        record of its own.
        """
        parent = Path(f"/proc/{os.getppid()}")
        with contextlib.suppress(OSError, StopIteration):
            target = parent / "fd" / str(STDERR)
            if not target.is_file() or _appends(parent / "fdinfo" / str(STDERR)):
                return cls(os.open(target, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY))
        return cls(STDERR)

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record; what fails is told on stderr, as logging has it."""
        try:
            line = f"{self.format(record)}\n".encode()
            while line:
                line = line[os.write(self._fd, line) :]
        except Exception:  # noqa: BLE001 - logging never costs an event
            self.handleError(record)


def _appends(fdinfo: Path) -> bool:
    """Whether a file descriptor was opened with O_APPEND (proc(5): /proc/PID/fdinfo)."""
    flags = next(line for line in fdinfo.read_text().splitlines() if line.startswith("flags:"))
    return bool(int(flags.split()[1], 8) & os.O_APPEND)


def _writable(value: Any) -> Any:
    """A value of `fields`, all text in it as `_utf8` has it."""
    match value:
        case str():
            return _utf8(value)
        case Mapping():
            return {_writable(key): _writable(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_writable(item) for item in value]
        case _:
            return value


def _utf8(text: str) -> str:
    """Text without what has no UTF-8 form, such as a lone surrogate of an undecodable file name."""
    return text.encode("utf-8", "backslashreplace").decode()
