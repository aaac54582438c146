"""The real HAProxy with the edge's own configuration, on free ports of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from rr_tcp.testing import free_ports
from tests.e2e.clients import TIMEOUT
from tests.support.waiting import wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
CONFIGURATION: Final = ROOT / "deploy/edge/haproxy.cfg"
CERTIFICATE: Final = ROOT / "deploy/edge/certificate"


def haproxy() -> str:
    """The binary; without one the test fails."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"])
    binary = shutil.which(os.environ.get("HAPROXY", "haproxy"), path=path)
    if binary is None:
        pytest.fail("there is no haproxy: scripts/get-haproxy gets one, or HAPROXY names it")
    return binary


def haproxy_version() -> tuple[int, int]:
    printed = subprocess.run([haproxy(), "-v"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"version (\d+)\.(\d+)", printed)
    assert found is not None, printed
    return int(found[1]), int(found[2])


@dataclass(frozen=True, slots=True)
class Edge:
    """A running edge.

    Attributes:
        ports: of the services through TLS, by the names of the listeners behind the edge; and `status`.
        trust: the file with the authority that signed its certificate.
        log: what it printed.
    """

    ports: Mapping[str, int]
    trust: Path
    log: Path

    def context(self) -> ssl.SSLContext:
        """One that verifies all there is to verify."""
        context = ssl.create_default_context(cafile=self.trust)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    def connect(self, server: str, *, source: str = "127.0.0.1") -> socket.socket:
        """A TCP connection from an address of this machine."""
        return socket.create_connection(("127.0.0.1", self.ports[server]), TIMEOUT, source_address=(source, 0))

    def secure(self, server: str, *, source: str = "127.0.0.1") -> ssl.SSLSocket:
        """A connection through TLS."""
        with contextlib.ExitStack() as stack:
            # Wrapped before it connects: a handshake that fails would leave it open where nobody can close it.
            sock = stack.enter_context(self.context().wrap_socket(socket.socket(), server_hostname="localhost"))
            sock.settimeout(TIMEOUT)
            sock.bind((source, 0))
            sock.connect(("127.0.0.1", self.ports[server]))
            stack.pop_all()
        return sock

    def mail_program(self, *, source: str = "127.0.0.1") -> smtplib.SMTP_SSL:
        return smtplib.SMTP_SSL(
            "localhost", self.ports["smtps"], timeout=TIMEOUT, context=self.context(), source_address=(source, 0)
        )

    def metrics(self) -> str:
        """What Prometheus would read of it."""
        url = f"http://127.0.0.1:{self.ports['status']}/metrics"
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            return str(response.read(), "utf-8")

    def healthy(self) -> bool:
        """What its status page says."""
        url = f"http://127.0.0.1:{self.ports['status']}/healthy"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
                return bool(response.status == 200)
        except urllib.error.URLError:  # another status, or it does not run yet
            return False


def make_certificate(directory: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the edge's script; its message is in `stderr`."""
    directory.mkdir(exist_ok=True)
    return subprocess.run(
        [CERTIFICATE, directory], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


@contextlib.contextmanager
def running_edge(directory: Path, replicas: Mapping[str, str], **settings: str) -> Iterator[Edge]:
    """An edge for the time of the block, ready when each service has a replica that answers.

    Args:
        directory: for its certificate and log.
        replicas: where they are, as the configuration's variables have it.
        settings: more of these variables.
    """
    made = make_certificate(directory / "certificates")
    assert made.returncode == 0, made.stderr
    ports = dict(zip(("smtps", "echos", "status"), free_ports(3), strict=True))
    env = {
        **os.environ,
        "EDGE_HOST": "127.0.0.1",
        "EDGE_CERTIFICATES": f"{directory}/certificates/",
        **{f"EDGE_{name.upper()}_PORT": str(port) for name, port in ports.items()},
        **replicas,
        **settings,
    }
    log = directory / "haproxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen([haproxy(), "-db", "-f", CONFIGURATION], env=env, stdout=output, stderr=output)
    edge = Edge(ports, directory / "certificates/clients/ca.crt", log)
    try:

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            return edge.healthy()

        wait_until(ready, "a replica of each service")
        yield edge
    finally:
        process.kill()
        process.wait()
