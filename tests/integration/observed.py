"""The real stack, and clients that make it count everything there is to count."""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.targets import NativeTarget, native

TEXT = "Subject: seen\r\n\r\nhello\r\n"


@contextlib.contextmanager
def observed_stack(directory: Path, **env: str) -> Iterator[NativeTarget]:
    """`make run`'s stack, with nothing of the tests' environment that would change what it counts."""
    with native(directory, {"METRICS": "1", "LOG_LEVEL": "INFO", **env}) as stack:
        yield stack


def page(stack: NativeTarget) -> dict[str, float]:
    """The lines of the metrics page."""
    with urllib.request.urlopen(stack.metrics_url, timeout=10) as answer:  # noqa: S310 - an address of our own
        text = answer.read().decode()
    return {name: float(value) for name, value in re.findall(r"^([^#\n].*) (\S+)$", text, re.MULTILINE)}


def send_mails(stack: NativeTarget, count: int = 3) -> None:
    """So many mails that are accepted, and one that is refused for a NUL."""
    with smtplib.SMTP(stack.smtp.host, stack.smtp.port, timeout=30) as client:
        for _ in range(count):
            client.sendmail("from@a.test", ["to@b.test"], TEXT)
        with contextlib.suppress(smtplib.SMTPDataError):
            client.sendmail("from@a.test", ["to@b.test"], TEXT + "\0\r\n")


def say_lines(stack: NativeTarget, count: int = 3) -> None:
    """So many lines to the echo service."""
    with socket.create_connection((stack.echo.host, stack.echo.port), 30) as client, client.makefile("rb") as answers:
        for _ in range(count):
            client.sendall(b"hello\n")
            assert answers.readline()
