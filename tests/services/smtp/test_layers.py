"""The engine does no I/O, so that it can be driven by anything and tested without anything."""

from __future__ import annotations

import ast
from pathlib import Path

import services.smtp

PACKAGE = Path(services.smtp.__file__).parent

ENGINE = {
    "addresses",
    "auth",
    "body",
    "commands",
    "durations",
    "errors",
    "events",
    "extensions",
    "grammar",
    "help",
    "limits",
    "lines",
    "parameters",
    "protocol",
    "replies",
    "sequence",
    "settings",
    "state",
}
"""Modules that the engine consists of."""

PURE = {
    "__future__",
    "base64",
    "binascii",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "idna",
    "ipaddress",
    "msgspec",
    "re",
    "typing",
}
"""What they may import: nothing that reads a clock, a file, a socket or the environment, or writes a log."""


def imported(module: Path) -> set[str]:
    """The modules that a module imports, those of its own package by their names in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "services.smtp" else set()
            )
            names |= {node.module or ""} - {"services.smtp"}
    return {name.removeprefix("services.smtp.") for name in names}


def test_the_engine_imports_nothing_that_does_io() -> None:
    for name in ENGINE:
        outside = {found.split(".")[0] for found in imported(PACKAGE / f"{name}.py")} - ENGINE
        assert outside <= PURE | {"rr_tcp"}, f"{name} imports {outside - PURE}"


def test_the_service_knows_no_other_service() -> None:
    shared = {"services.env_file"}
    for module in PACKAGE.rglob("*.py"):
        others = {name for name in imported(module) if name.startswith(("services.", "workers"))}
        assert others <= shared, module.name


def test_of_the_sdk_only_public_names_are_used() -> None:
    for module in PACKAGE.rglob("*.py"):
        assert not [name for name in imported(module) if name.startswith("rr_tcp.")], module.name
