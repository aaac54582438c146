"""Foreign code that a setting names by its dotted path, with arguments as in a shell: `app.mail.Handler /var/mails`."""

from __future__ import annotations

import argparse
import importlib
import inspect
import shlex
from collections.abc import Callable
from typing import Any

from rr_tcp import ConfigurationError
from services.smtp.foreign import FAILURES


def import_named(setting: str, text: str, accepted: str) -> tuple[Callable[..., Any], tuple[str, ...]]:
    """The class or function that `text` begins with, and the arguments that follow.

    Args:
        setting: the variable, for errors.
        text: its value.
        accepted: what it may be, for errors.

    Raises:
        ConfigurationError: it cannot be found, or cannot be called.
    """
    try:
        path, *arguments = shlex.split(text)
    except ValueError as error:
        raise ConfigurationError(f"{setting} is {text!r}: {error}. Give {accepted}") from error
    module, separator, name = path.replace(":", ".").rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name) if separator else None
    except FAILURES as error:  # whatever the module does when it is imported
        raise ConfigurationError(
            f"{setting} is {text!r}: {type(error).__name__}: {error}. Give {accepted}; the module must be importable "
            "from the workers' directory"
        ) from error
    if not callable(found):
        raise ConfigurationError(f"{setting} is {text!r}: {path!r} is no class. Give {accepted}")
    return found, tuple(arguments)


def make_named(setting: str, text: str, factory: Callable[..., object], arguments: tuple[object, ...]) -> object:
    """What `factory` makes of the arguments.

    Args:
        setting: the variable, for errors.
        text: its value.
        factory: the class.
        arguments: what it is called with.

    Raises:
        ConfigurationError: it does not take the arguments, or failed.
        argparse.ArgumentError: it said so itself.
    """
    try:
        _check_arguments(factory, arguments)
        try:
            return factory(*arguments)
        except FileExistsError:  # two workers that start made it at once, as `mailbox.Maildir` does: now it is there
            return factory(*arguments)
    except argparse.ArgumentError:
        raise
    except _ArgumentsError as error:
        raise ConfigurationError(f"{setting} is {text!r}: it refuses its arguments: {error}") from error
    except FAILURES as error:
        raise ConfigurationError(
            f"{setting} is {text!r}: it cannot be made: {type(error).__name__}: {error}"
        ) from error


class _ArgumentsError(Exception):
    """The signature has no place for the arguments, or needs more."""


def _check_arguments(factory: Callable[..., object], arguments: tuple[object, ...]) -> None:
    """Tells wrong arguments from a TypeError that comes out of the foreign code."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # it is not written in Python
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise _ArgumentsError(str(error)) from error
