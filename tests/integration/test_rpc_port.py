"""RoadRunner's RPC server is reached from the loopback alone, whatever the environment says: it rules the server."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from rr_tcp.testing import free_ports
from tests.e2e.targets import PORT_SETTINGS, native
from tests.integration.conftest import ROOT, TIMEOUT

LOOPBACK = "127.0.0.1"


def addresses_of_this_machine() -> list[str]:
    """Every IPv4 address that is this machine's, and one that always is: 127.0.0.2."""
    table = Path("/proc/net/fib_trie").read_text()
    local = re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", table)
    return sorted({"127.0.0.2", *local} - {LOOPBACK})


def answers(host: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(TIMEOUT)
        return client.connect_ex((host, port)) == 0


def listeners(port: int) -> set[str]:
    """The addresses, as the kernel writes them, on which something listens on the port."""
    tables = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    return set(re.findall(rf"^ *\d+: ([0-9A-F]+):{port:04X} \S+ 0A ", tables, re.MULTILINE))


def test_it_listens_on_the_loopback_alone_when_the_services_listen_everywhere(tmp_path: Path) -> None:
    (elsewhere,) = free_ports(1)
    attempts = {"RR_RPC_LISTEN": f"tcp://0.0.0.0:{elsewhere}", "RPC_LISTEN": f"tcp://0.0.0.0:{elsewhere}"}
    with native(tmp_path, {"LISTEN_HOST": "0.0.0.0", **attempts}) as stack:  # noqa: S104  # what the test is about
        rpc_port = int(stack.rpc_address.rpartition(":")[2])
        assert answers(LOOPBACK, rpc_port)
        assert listeners(rpc_port) == {"0100007F"}
        assert listeners(elsewhere) == set()
        for address in addresses_of_this_machine():
            assert answers(address, stack.smtp.port), address
            assert not answers(address, rpc_port), address


@pytest.mark.parametrize(
    "value", ["@0.0.0.0:{port}", "{port}@0.0.0.0", "0.0.0.0:{port}", "{port},tcp://0.0.0.0:{port}"]
)
def test_a_port_that_is_none_ends_the_server_instead_of_moving_it(value: str, tmp_path: Path) -> None:
    """`make run` says so before it starts anything; this is RoadRunner alone, as in the image."""
    settings = (*PORT_SETTINGS.values(), "METRICS_PORT")
    port, *free = map(str, free_ports(1 + len(settings)))
    done = subprocess.run(
        [ROOT / "bin/rr", "serve", "-w", ROOT, "-c", ROOT / ".rr.yaml"],
        env={
            **os.environ,
            **dict(zip(settings, free, strict=True)),
            "RPC_PORT": value.format(port=port),
            "SESSION_STORE": "rrkv://sessions",
            "MAIL_STORE": f"sqlite:///{tmp_path}/mail.db",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert re.search(r"rpc_plugin_(init|serve): ", done.stdout), done.stdout
    assert listeners(int(port)) == set()
