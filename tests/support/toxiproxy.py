"""A real proxy in front of a server: it delays, swallows, resets and cuts what passes, when a test says so."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from rr_tcp.testing import free_ports
from tests.support.waiting import wait_until

ROOT: Final = Path(__file__).resolve().parents[2]

BINARY: Final = ROOT / "bin/toxiproxy-server"

CALL_TIMEOUT: Final = 10.0
"""Seconds for one call of the proxy's own API, which answers in milliseconds."""


@dataclass(frozen=True, slots=True)
class Toxic:
    """Something that is done to what passes.

    Attributes:
        type: one of toxiproxy's: `latency`, `timeout`, `reset_peer`, `limit_data`.
        attributes: of that type.
        stream: `downstream` for the server's answers, `upstream` for what the client sends.
    """

    type: str
    attributes: dict[str, int]
    stream: str = "downstream"


class Proxy:
    """A proxy that listens on a port and hands everything to a server, and back.

    Args:
        api: of the toxiproxy that runs it.
        port: where it listens, on 127.0.0.1.
    """

    def __init__(self, api: httpx.Client, port: int) -> None:
        self._api = api
        self.port = port

    @contextlib.contextmanager
    def poisoned(self, *toxics: Toxic) -> Iterator[None]:
        """All connections, those that stand and those to come, for the time of the block."""
        names = [f"toxic-{number}" for number in range(len(toxics))]
        for name, toxic in zip(names, toxics, strict=True):
            body = {"name": name, "type": toxic.type, "stream": toxic.stream, "attributes": toxic.attributes}
            self._call("POST", f"/proxies/{self.port}/toxics", body)
        try:
            yield
        finally:
            for name in names:
                self._call("DELETE", f"/proxies/{self.port}/toxics/{name}")

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        self._api.request(method, path, json=body).raise_for_status()


def find_toxiproxy() -> Path:
    """The binary; a test that cannot have it fails and says why."""
    if not BINARY.exists() and shutil.which("toxiproxy-server") is None:
        pytest.fail(f"there is no {BINARY}: scripts/get-toxiproxy gets it")
    return BINARY if BINARY.exists() else Path(shutil.which("toxiproxy-server") or "")


@contextlib.contextmanager
def running_proxy(upstream: int, directory: Path) -> Iterator[Proxy]:
    """A proxy in front of a port of 127.0.0.1, for the time of the block."""
    binary = find_toxiproxy()
    api_port, port = free_ports(2)
    log = directory / f"toxiproxy-{port}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [binary, "-host", "127.0.0.1", "-port", str(api_port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LOG_LEVEL": "warn"},
        )
    api = httpx.Client(base_url=f"http://127.0.0.1:{api_port}", timeout=CALL_TIMEOUT, trust_env=False)
    try:
        with api:
            wait_until(lambda: _answers(api, process, log), "toxiproxy")
            addresses = {"listen": f"127.0.0.1:{port}", "upstream": f"127.0.0.1:{upstream}"}
            api.post("/proxies", json={"name": str(port), **addresses, "enabled": True}).raise_for_status()
            yield Proxy(api, port)
    finally:
        process.kill()
        process.wait()


def _answers(api: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> bool:
    if (code := process.poll()) is not None:
        pytest.fail(f"toxiproxy-server ended with {code}:\n{log.read_text()}")
    try:
        return api.get("/version").is_success
    except httpx.TransportError:
        return False
