"""What every command is given, and what they have in common."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol, TextIO

from rr_tcp import ConfigurationError
from services.smtp.mailstore import MailStore

FAILED: Final = 1
"""Exit code when there is no such mail or the store cannot be used."""

WRONG_USAGE: Final = 2
"""Exit code for a command line that makes no sense; argparse's own."""


class WrongUsageError(ConfigurationError):
    """An argument makes no sense, in a way that argparse does not see."""


class Commands(Protocol):
    """What `argparse` returns from `add_subparsers`."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:  # noqa: A002 - argparse's
        """Adds a command."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a command works with.

    Attributes:
        store: the mail store; it is opened by its first use.
        env: the settings.
        output: where mails go.
        errors: where messages go.
    """

    store: MailStore
    env: Mapping[str, str]
    output: BinaryIO
    errors: TextIO
