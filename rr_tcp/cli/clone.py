"""A clone of the repository, and the files of it that name every service.

They are edited as text, which keeps their comments. Only the standard library is used: `python3 -m rr_tcp new` works in
a fresh clone, before there is an environment.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rr_tcp.errors import ConfigurationError

SETTINGS: Final = ("MAX_LINE", "IDLE_LIMIT", "AGE_LIMIT")
"""What a new service's variables are called after its name, beside its port."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service to be made.

    Attributes:
        name: of the package, the worker module and the listener.
        port: where it listens by default.
    """

    name: str
    port: int

    @property
    def class_prefix(self) -> str:
        """`my_chat` -> `MyChat`."""
        return "".join(word.capitalize() for word in self.name.split("_"))

    @property
    def variable_prefix(self) -> str:
        """`my_chat` -> `MY_CHAT`."""
        return self.name.upper()


def find_clone(start: Path) -> Path:
    """The clone that `start` is in.

    Raises:
        ConfigurationError: it is in none.
    """
    for directory in (start, *start.parents):
        if all((directory / path).is_file() for path in EDITS):
            return directory
    raise ConfigurationError(
        f"{start} is in no clone of the repository (one has {', '.join(EDITS)}): call this in one. Outside, "
        "`rr-tcp serve FILE:NAME` runs an App without more files"
    )


def used_ports(root: Path) -> set[int]:
    """The default ports of the clone's listeners."""
    return {int(port) for port in re.findall(r":-(\d+)\}", (root / ".rr.yaml").read_text())}


def clashes(root: Path, name: str) -> list[str]:
    """What has the name, or one that the service would need, already."""
    prefix = name.upper()
    settings = re.findall(r"^#?(\w+)=", (root / ".env.example").read_text(), re.MULTILINE)
    needed = [f"{prefix}_{name}" for name in ("PORT", *SETTINGS)]
    found = [f"the setting {setting}" for setting in needed if setting in settings]
    if (root / "services" / f"{name}.py").exists():
        found.append(f"the module services/{name}.py")
    if re.search(rf"^    {name}:$", (root / ".rr.yaml").read_text(), re.MULTILINE):
        found.append(f"the listener {name} in .rr.yaml")
    if name in _names((root / "workers/all.py").read_text()):
        found.append(f"the name {name} in workers/all.py")
    return found


def _add_to_pool(text: str, service: Service) -> str:
    imports = re.search(r"^from workers import \(\n((?:    \w+,\n)+)\)$", text, re.MULTILINE)
    if imports is None:
        raise ValueError("`from workers import (`, one name on each line")
    lines = sorted([*imports[1].splitlines(keepends=True), f"    {service.name},\n"], key=_natural)
    text = text[: imports.start(1)] + "".join(lines) + text[imports.end(1) :]
    return _after_last(text, r"^    \w+\.add_to\(app, os\.environ\)\n", f"    {service.name}.add_to(app, os.environ)\n")


def _add_listener(text: str, service: Service) -> str:
    return _after_last(
        text,
        r"^    \w+:\n      addr: .*\n(?:      .*\n)*",
        f"    {service.name}:\n"
        f'      addr: "tcp://${{LISTEN_HOST:-127.0.0.1}}:${{{service.variable_prefix}_PORT:-{service.port}}}"\n'
        '      delimiter: "\\n"\n',
    )


def _add_examples(text: str, service: Service) -> str:
    # Below the services' own ports: the edge and others have ports, too.
    text = _after_first(text, r"(?:^#\w+_PORT=\d+\n)+", f"#{service.variable_prefix}_PORT={service.port}\n")
    return (
        f"{text}\n# The longest line that {service.name} answers, in bytes (make run and Compose).\n"
        f"#{service.variable_prefix}_MAX_LINE=65536\n"
        f"# When its connections are closed: seconds without an event, and from their beginning; 0 for no limit.\n"
        f"#{service.variable_prefix}_IDLE_LIMIT=300\n#{service.variable_prefix}_AGE_LIMIT=86400\n"
    )


def _add_to_compose(text: str, service: Service) -> str:
    # Of the container with the listeners, which is the first one: others have settings and ports too.
    settings = [f"      {service.variable_prefix}_{name}:\n" for name in SETTINGS]
    text = _after_first(text, r"^      [A-Z][A-Z0-9_]*:\n(?=    ports:\n)", "".join(settings))
    return _after_first(
        text,
        r'^    ports:\n(?:      - "\$\{PUBLISH_HOST.*\n)+',
        f'      - "${{PUBLISH_HOST:-127.0.0.1}}:${{{service.variable_prefix}_PORT:-{service.port}}}:{service.port}"\n',
    )


EDITS: Final[dict[str, Callable[[str, Service], str]]] = {
    "workers/all.py": _add_to_pool,
    ".rr.yaml": _add_listener,
    ".env.example": _add_examples,
    "docker-compose.yml": _add_to_compose,
}
"""The files that name every service, and how one is added to their text. `ValueError` says what is missing there."""


def edited(root: Path, service: Service) -> dict[Path, str]:
    """The new contents of the files that name every service; nothing is written.

    Raises:
        ConfigurationError: one of them is not of the form that this knows.
    """
    contents = {}
    for path, edit in EDITS.items():
        try:
            contents[root / path] = edit((root / path).read_text(), service)
        except ValueError as error:
            raise ConfigurationError(
                f"{path} has changed so much that a service cannot be added to it: there is no {error}. Add it by "
                "hand, as CONTRIBUTING.md says"
            ) from error
    return contents


def _after_first(text: str, pattern: str, addition: str) -> str:
    first = re.search(pattern, text, re.MULTILINE)
    if first is None:
        raise ValueError(f"line like {pattern}")
    return text[: first.end()] + addition + text[first.end() :]


def _after_last(text: str, pattern: str, addition: str) -> str:
    *_, last = [None, *re.finditer(pattern, text, re.MULTILINE)]
    if last is None:
        raise ValueError(f"line like {pattern}")
    return text[: last.end()] + addition + text[last.end() :]


def _natural(text: str) -> list[tuple[int, str]]:
    """Orders as the linter orders imports: numbers by their value."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text.rstrip(",\n"))]


def _names(source: str) -> set[str]:
    tree = ast.parse(source)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return names | {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom | ast.Import)
        for alias in node.names
    }
