"""Runs of the command line within the test."""

from __future__ import annotations

import io

from services.smtp.cli import main


def run(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, bytes, str]:
    """The exit code, what was printed, and what was said of errors."""
    output, errors = io.BytesIO(), io.StringIO()
    code = main(arguments, env=env or {}, output=output, errors=errors)
    return code, output.getvalue(), errors.getvalue()
