"""The App that a command names: `MODULE:NAME` or `FILE:NAME`."""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from rr_tcp.app import App
from rr_tcp.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class AppReference:
    """Where an App is.

    Attributes:
        module: what to import.
        name: the App in it, or a function without arguments that returns one.
        root: the directory from which it is imported.
        file: the file, if it was named by its path.
    """

    module: str
    name: str
    root: Path
    file: Path | None = None

    @classmethod
    def parse(cls, text: str) -> AppReference:
        """From the command line.

        A file belongs to the package whose `__init__.py` stands beside it, and is imported as its module.

        Raises:
            argparse.ArgumentTypeError: it is of neither form, or there is no such file.
        """
        where, _, name = text.rpartition(":")
        if not where or not name.isidentifier():
            raise argparse.ArgumentTypeError(
                f"{text!r} names no App: use MODULE:NAME or FILE:NAME, e.g. workers.all:build_app or chat.py:app"
            )
        if not where.endswith(".py"):
            if not all(part.isidentifier() for part in where.split(".")):
                raise argparse.ArgumentTypeError(f"{where!r} is no module: give its dotted name, or a path to a .py")
            return cls(where, name, Path.cwd())
        file = Path(where).resolve()
        if not file.is_file():
            raise argparse.ArgumentTypeError(f"there is no file {file}")
        root, module = file.parent, file.stem
        while (root / "__init__.py").is_file():
            root, module = root.parent, f"{root.name}.{module}"
        return cls(module, name, root, file)

    def __str__(self) -> str:
        """What `parse` reads, from any directory if it is a file."""
        return f"{self.file or self.module}:{self.name}"


def load_app(reference: AppReference) -> App:
    """Imports what was named, in this process.

    Raises:
        ConfigurationError: there is no such module or name, or it is no App.
        Exception: whatever the code raises that is imported.
    """
    sys.path[:0] = dict.fromkeys([str(reference.root), str(Path.cwd())])
    found = getattr(_import(reference), reference.name, None)
    if found is None:
        raise ConfigurationError(f"{reference}: there is no {reference.name!r} in the module {reference.module}")
    app = found if isinstance(found, App) or not callable(found) else found()
    if not isinstance(app, App):
        raise ConfigurationError(f"{reference} is {type(app).__name__}, not an App nor a function that returns one")
    return app


def _import(reference: AppReference) -> ModuleType:
    try:
        module = importlib.import_module(reference.module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{reference.module}.".startswith(f"{error.name}."):
            raise  # the module is there, what it imports is not
        raise ConfigurationError(
            f"there is no module {error.name!r} in {reference.root}: call this from the directory that has it"
        ) from error
    if reference.file and Path(module.__file__ or "").resolve() != reference.file:
        raise ConfigurationError(
            f"{reference.file} cannot be imported: another module has its name {reference.module!r}. Rename the file"
        )
    return module
