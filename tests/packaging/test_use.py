"""What a user does with the installed SDK, outside of this repository."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rr_tcp.testing import free_ports, roadrunner
from tests.integration.conftest import accepts, connect
from tests.packaging.conftest import ROOT, run

README = (ROOT / "README.md").read_text()


def readme_service() -> str:
    """The README's example."""
    [block] = re.finditer(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return block[1]


def test_every_module_can_be_imported_where_only_msgspec_is(user_python: Path, tmp_path: Path) -> None:
    """But for pytest's fixtures, the stores' drivers, OpenTelemetry, and the templates, which are no modules yet."""
    code = """
import importlib, pkgutil, sys, rr_tcp
NEED_MORE = (
    "rr_tcp.__main__", "rr_tcp.testing.fixtures", "rr_tcp.redis_client", "rr_tcp.redis_nodes",
    "rr_tcp.stores.lmdb_", "rr_tcp.stores.redis_", "rr_tcp.tracing",
)
for module in pkgutil.walk_packages(rr_tcp.__path__, "rr_tcp."):
    if not module.name.startswith(NEED_MORE) and ".templates" not in module.name:
        importlib.import_module(module.name)
        print(module.name)
from rr_tcp import *
assert "site-packages" in rr_tcp.__file__, rr_tcp.__file__
print(App.__name__)
"""
    imported = run([user_python, "-c", code], tmp_path).split()
    assert {"rr_tcp.app", "rr_tcp.cli.serve", "rr_tcp.plugins.kv", "rr_tcp.testing.server", "App"} <= set(imported)


def test_the_command_is_installed(user_python: Path, tmp_path: Path) -> None:
    by_name = run([user_python.with_name("rr-tcp"), "--help"], tmp_path)
    assert by_name == run([user_python, "-m", "rr_tcp", "--help"], tmp_path)
    assert "serve" in by_name


def test_a_store_without_its_driver_says_what_to_install(user_python: Path, tmp_path: Path) -> None:
    code = """
from rr_tcp import ConfigurationError
from rr_tcp.stores import open_store
for url in ("lmdb:///dev/shm/unused", "redis://127.0.0.1"):
    try:
        open_store(url)
    except ConfigurationError as error:
        print(error)
open_store("rrkv://sessions").close()
"""
    lmdb, redis = run([user_python, "-c", code], tmp_path).splitlines()
    assert "pip install 'rr-tcp[lmdb]'" in lmdb
    assert "pip install 'rr-tcp[redis]'" in redis


def test_the_example_of_the_readme_runs_from_the_wheel(lmdb_python: Path, rr_binary: Path, tmp_path: Path) -> None:
    [configuration] = re.findall(r"^```yaml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    [port] = free_ports(1)
    service = re.sub(r"lmdb://[^\"]+", f"lmdb://{tmp_path}/sessions", readme_service())
    (tmp_path / "counter.py").write_text(service)
    config = tmp_path / "counter.rr.yaml"
    configuration = configuration.replace("9000", str(port))
    config.write_text(configuration.replace(".venv/bin/python", str(lmdb_python)))
    log = tmp_path / "rr.log"
    with (
        roadrunner(rr_binary, config, cwd=tmp_path, env={"PYTHONPATH": ""}, log=log, probes=[accepts(port)]),
        connect(port) as client,
    ):
        for number in range(1, 20):
            client.sendall(b"x\n")
            assert client.recv(100) == b"line %d\n" % number


TYPED_PROJECT = """
import msgspec

from rr_tcp import App, Connection, LineProtocol, LineState, Request, Response, StatefulProtocol, TcpResponse
from rr_tcp import TcpWorker, Worker
from rr_tcp.plugins.kv import KV
from rr_tcp.rpc import RPC
from rr_tcp.testing import ConnectionDriver, FakeRelay, MemorySessionStore


class ChatState(LineState):
    name: str = ""


class Chat(LineProtocol[ChatState]):
    state_type = ChatState

    async def line_received(self, connection: Connection[ChatState], line: bytes) -> None:
        connection.state.name = connection.state.name or line.decode()
        connection.write(connection.state.name.encode())


app = App(store=MemorySessionStore())
app.add("chat", Chat())


@app.on("upper")
async def upper(request: Request) -> Response | bytes | None:
    return request.body.upper() if request.body else Response(TcpResponse.CLOSE)


@app.on("lower")
def lower(request: Request) -> bytes:
    return request.body.lower()


client = ConnectionDriver(app, "chat")
greeting: bytes = client.connect() + client.send(b"me\\n")
worker = TcpWorker(Worker(FakeRelay()))
while request := worker.wait_request():
    worker.respond(request.body)
values: dict[str, bytes] = KV(RPC("tcp://127.0.0.1:6001"), "sessions").get_many(["key"])
"""


def check_types(user_python: Path, directory: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Runs mypy --strict, with what the user's environment has installed."""
    (directory / "project.py").write_text(source)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", str(user_python)]
    return subprocess.run(
        [*mypy, "--cache-dir", "cache", "project.py"],
        cwd=directory,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("source", [TYPED_PROJECT, readme_service()], ids=["a project", "the README's example"])
def test_a_users_project_is_clean_under_mypy_strict(user_python: Path, tmp_path: Path, source: str) -> None:
    done = check_types(user_python, tmp_path, source)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ("connection.state.name.encode()", "connection.state.nam.encode()", '"ChatState" has no attribute "nam"'),
        ("line.decode()", "line", "Incompatible types in assignment"),
        ("return request.body.lower()", "return request.server", "Incompatible return value type"),
        ("worker.respond(request.body)", "worker.respond(request.event)", "incompatible type"),
        ('b"me\\n"', '"me"', "incompatible type"),
    ],
)
def test_types_reach_the_user(user_python: Path, tmp_path: Path, right: str, wrong: str, problem: str) -> None:
    """Were one of them `Any`, nothing would be found."""
    assert right in TYPED_PROJECT
    done = check_types(user_python, tmp_path, TYPED_PROJECT.replace(right, wrong))
    assert done.returncode == 1
    assert problem in done.stdout
