"""`rr-tcp new`: a service in a clone of the repository, whose tests pass at once."""

from __future__ import annotations

import argparse
import contextlib
import keyword
import re
import sys
from pathlib import Path

from rr_tcp.cli.arguments import FIRST_PORT, port
from rr_tcp.cli.clone import Service, clashes, edited, find_clone, used_ports
from rr_tcp.errors import ConfigurationError

TEMPLATES = Path(__file__).parent / "templates"

MAX_NAME = 20
"""Letters of a name: with more, lines of the made files would be too long."""

FILES = {
    "package.py": "services/sample/__init__.py",
    "protocol.py": "services/sample/protocol.py",
    "settings.py": "services/sample/settings.py",
    "worker.py": "workers/sample.py",
    "test_protocol.py": "tests/services/sample/test_protocol.py",
    "test_e2e.py": "tests/e2e/test_sample.py",
}
"""Where each template goes. In names and contents, `sample`, `Sample` and `SAMPLE` stand for the service's name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the service is called, and where it listens."""
    parser.add_argument("name", metavar="NAME", type=_name, help="of the service, e.g. chat or my_chat")
    parser.add_argument(
        "--port", type=port, help=f"where it listens by default (default: the first free one from {FIRST_PORT} on)"
    )


def run(args: argparse.Namespace) -> int:
    """Makes the service, or changes nothing."""
    root = find_clone(Path.cwd())
    service = Service(args.name, _port(root, args.port))
    made = _made(root, service)
    taken = [*clashes(root, service.name), *(str(path.relative_to(root)) for path in made if path.exists())]
    if taken:
        raise ConfigurationError(f"the name {service.name!r} is taken: there is {taken[0]}. Choose another")
    changed = edited(root, service)
    write(made, changed)
    sys.stdout.write(_report(root, service, list(made), list(changed)))
    return 0


def write(made: dict[Path, str], changed: dict[Path, str]) -> None:
    """Writes all the files, or leaves everything as it was.

    Args:
        made: contents of files that do not exist.
        changed: new contents of files that do.

    Raises:
        ConfigurationError: one of them cannot be written.
    """
    with contextlib.ExitStack() as undo:
        try:
            for path, content in made.items():
                _make_directories(path.parent, undo)
                with path.open("x", encoding="utf-8") as file:
                    undo.callback(path.unlink)
                    file.write(content)
            for path, content in changed.items():
                undo.callback(path.write_bytes, path.read_bytes())
                path.write_text(content, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"cannot write {error.filename}: {error.strerror}. Nothing was changed") from error
        undo.pop_all()


def _made(root: Path, service: Service) -> dict[Path, str]:
    contents = {
        root / _filled(target, service): _filled((TEMPLATES / template).read_text(encoding="utf-8"), service)
        for template, target in FILES.items()
    }
    contents[root / "tests/services" / service.name / "__init__.py"] = ""
    return contents


def _filled(text: str, service: Service) -> str:
    for placeholder, value in (
        ("sample", service.name),
        ("Sample", service.class_prefix),
        ("SAMPLE", service.variable_prefix),
    ):
        text = text.replace(placeholder, value)
    return text


def _make_directories(directory: Path, undo: contextlib.ExitStack) -> None:
    if not directory.exists():
        _make_directories(directory.parent, undo)
        directory.mkdir()
        undo.callback(directory.rmdir)


def _port(root: Path, wanted: int | None) -> int:
    used = used_ports(root)
    if wanted in used:
        raise ConfigurationError(f"port {wanted} is the default of another listener in .rr.yaml: give another --port")
    return wanted or next(port for port in range(FIRST_PORT, FIRST_PORT + len(used) + 1) if port not in used)


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", text) or len(text) > MAX_NAME:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name: use up to {MAX_NAME} lower-case letters, digits and single underscores, beginning "
            "with a letter"
        )
    if keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} is a keyword of Python: choose another name")
    return text


def _report(root: Path, service: Service, made: list[Path], changed: list[Path]) -> str:
    def listed(paths: list[Path]) -> str:
        return "".join(f"  {path.relative_to(root)}\n" for path in sorted(paths))

    return (
        f"made the service {service.name}, which numbers the lines it gets:\n{listed(made)}"
        f"and added it to:\n{listed(changed)}"
        f"next:\n"
        f"  make test        everything passes as it is\n"
        f"  make run         {service.name} listens on port {service.port} ({service.variable_prefix}_PORT)\n"
        f"  services/{service.name}/protocol.py is where it becomes yours, with its tests in tests/services/"
        f"{service.name}\n"
        f"  README.md's table of ports and CHANGELOG.md want a line each\n"
    )
