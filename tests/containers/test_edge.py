"""`docker compose --profile edge up --scale stack=2`: TLS in front of two replicas, which share their stores."""

from __future__ import annotations

import contextlib
import json
import re
import smtplib
import socket
import ssl
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers.project import PROJECT, Project, docker, inspect, running
from tests.support.waiting import wait_until

SMTPS, ECHOS, STATUS = 1465, 8890, 8405
BEHIND_EDGE = (10465, 18890)
BANDWIDTH = 1_000_000
TIMEOUT = 30.0  # seconds for any one answer
STARTED = 120.0  # seconds until a container that was started serves, on a machine that does much else
PASSWORD = "open sesame"
MESSAGE = "Subject: hello\r\n\r\nHello\r\n"
ENV = {
    "SMTP_AUTH_LISTENERS": "smtps",
    "SMTP_USERS": "/var/lib/mail/users",
    "EDGE_CLIENT_BANDWIDTH": str(BANDWIDTH),
    # All clients here have the address of Docker's gateway, and who waits for a condition tries often.
    "EDGE_CLIENT_RATE": "100000",
    "EDGE_CLIENT_CONNECTIONS": "1000",
}


@pytest.fixture(scope="module")
def project(pytestconfig: pytest.Config) -> Iterator[Project]:
    terminal = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert terminal is not None
    project = Project(f"{PROJECT}-edge", profiles=["edge"], env=ENV)
    with contextlib.ExitStack() as stack:
        with terminal.global_and_fixture_disabled():  # whoever waits sees the progress
            stack.enter_context(running(project, "--scale", "stack=2"))
        yield project
        with terminal.global_and_fixture_disabled():
            stack.close()


@pytest.fixture(scope="module")
def trust(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documentation tells clients to trust."""
    file = tmp_path_factory.mktemp("trust") / "ca.crt"
    file.write_text(project.compose("exec", "--no-TTY", "edge", "cat", "/var/lib/haproxy/clients/ca.crt"))
    return file


def port(project: Project, container_port: int) -> int:
    return int(project.compose("port", "edge", str(container_port)).rpartition(":")[2])


def mail_program(project: Project, trust: Path) -> smtplib.SMTP_SSL:
    context = ssl.create_default_context(cafile=trust)
    return smtplib.SMTP_SSL("localhost", port(project, SMTPS), timeout=TIMEOUT, context=context)


@contextlib.contextmanager
def echo(project: Project, trust: Path) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=trust)
    with (
        socket.create_connection(("127.0.0.1", port(project, ECHOS)), TIMEOUT) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secure,
    ):
        yield secure


def ask(sock: ssl.SSLSocket, line: bytes) -> dict[str, Any]:
    sock.sendall(line + b"\n")
    with sock.makefile("rb") as file:
        answer: dict[str, Any] = json.loads(file.readline())
    return answer


def mails(project: Project, recipient: str, *, replica: int = 1) -> list[dict[str, Any]]:
    listed = project.compose(
        "exec", "--no-TTY", "--index", str(replica), "stack", "python", "-m", "services.smtp", "mails", "--json"
    )
    return [mail for mail in json.loads(listed) if recipient in mail["rcpt_tos"]]


def replicas(project: Project) -> list[str]:
    """The containers of the stack, also those that do not run."""
    return project.compose("ps", "--all", "--quiet", "stack").split()


def metrics(project: Project, name: str, service: str) -> dict[str, float]:
    """What HAProxy's own metrics say of each replica in use."""
    program = f"exec 3<>/dev/tcp/127.0.0.1/{STATUS}; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    page = project.compose("exec", "--no-TTY", "edge", "bash", "-c", program)
    pattern = rf'^{name}{{proxy="{service}",server="(\w+)"(?:,state="UP")?}} (\S+)$'
    return {server: float(value) for server, value in re.findall(pattern, page, re.MULTILINE)}


def up(project: Project) -> int:
    """How many replicas serve both services."""
    return min(
        sum(value == 1 for value in metrics(project, "haproxy_server_status", service).values())
        for service in ("smtps", "echos")
    )


def test_a_mail_through_tls_is_in_every_replicas_store(project: Project, trust: Path) -> None:
    recipient = f"{uuid.uuid4().hex}@example.test"
    for _ in range(4):
        with mail_program(project, trust) as program:
            program.sendmail("a@example.test", [recipient], MESSAGE)
    for replica in (1, 2):
        kept = mails(project, recipient, replica=replica)
        assert [mail["protocol"] for mail in kept] == ["ESMTPS"] * 4
    assert sorted(metrics(project, "haproxy_server_sessions_total", "smtps").values())[-2] > 0, "one replica did it all"


def test_the_clients_own_address_is_kept(project: Project) -> None:
    """That of a container, as Docker hides the addresses of clients on its own host."""
    recipient = f"{uuid.uuid4().hex}@example.test"
    program = (
        "import smtplib, ssl, sys\n"
        "context = ssl._create_unverified_context()\n"
        f"with smtplib.SMTP_SSL('edge', {SMTPS}, context=context, timeout={TIMEOUT}) as client:\n"
        "    client.sendmail('a@example.test', [sys.argv[1]], 'Subject: x')\n"
        "    print(client.sock.getsockname()[0])\n"
    )
    image = inspect(replicas(project)[0])["Config"]["Image"]
    network = f"{project.name}_published"
    done = docker("run", "--rm", "--network", network, "--entrypoint", "python", image, "-c", program, recipient)
    [mail] = mails(project, recipient)
    assert mail["peer"].rpartition(":")[0] == done.stdout.strip()


def test_clients_authenticate_through_the_edge_and_only_there(project: Project, trust: Path) -> None:
    command = "printf 'open sesame\\n' | python -m services.smtp passwd alice"
    project.compose("exec", "--no-TTY", "stack", "sh", "-c", command)
    with mail_program(project, trust) as program:
        program.login("alice", PASSWORD)
    plain = int(project.compose("port", "--index", "2", "stack", "1025").rpartition(":")[2])
    with smtplib.SMTP("127.0.0.1", plain, timeout=TIMEOUT) as client:
        client.ehlo()
        assert not client.has_extn("auth")


def test_nobody_but_the_edge_is_believed_and_no_port_leads_behind_it(project: Project) -> None:
    program = (
        "import socket, sys\n"
        "for port in sys.argv[1:]:\n"
        f"    with socket.create_connection(('stack', int(port)), {TIMEOUT}) as sock:\n"
        "        try:\n"
        "            sock.sendall(b'PROXY TCP4 203.0.113.9 198.51.100.7 1 2\\r\\nhello\\r\\n')\n"
        "            print(len(sock.recv(100)))\n"
        "        except ConnectionError:\n"
        "            print(0)\n"
    )
    settings = inspect(replicas(project)[0])
    ports = [str(number) for number in BEHIND_EDGE]
    image, network = settings["Config"]["Image"], f"{project.name}_published"
    said = docker("run", "--rm", "--network", network, "--entrypoint", "python", image, "-c", program, *ports).stdout
    assert said.split() == ["0", "0"]
    published = {name for name, bindings in settings["NetworkSettings"]["Ports"].items() if bindings}
    assert published == {"1025/tcp", "8889/tcp"}
    assert inspect(f"{project.name}_edge")["Internal"]


def test_with_one_more_file_the_edge_is_the_only_way_in() -> None:
    only = Project("only", profiles=["edge"])
    files = ("-f", "docker-compose.yml", "-f", "deploy/edge/only.yml")
    services = json.loads(only.compose(*files, "config", "--format", "json"))["services"]
    assert [name for name, service in services.items() if service.get("ports")] == ["edge"]


def test_who_sends_too_much_is_slowed_down(project: Project, trust: Path) -> None:
    lines, size = 80, 50_000
    began = time.monotonic()
    with echo(project, trust) as sock:
        for number in range(lines):
            assert ask(sock, b"x" * size)["seq"] == number + 1
    assert time.monotonic() - began > (lines * size - BANDWIDTH) / BANDWIDTH - 1


@pytest.mark.timeout(2 * STARTED)
def test_a_replica_that_dies_leaves_and_one_that_is_back_serves_again(project: Project, trust: Path) -> None:
    wait_until(lambda: up(project) == 2, "both replicas")
    victim = replicas(project)[1]
    docker("kill", victim)
    wait_until(lambda: up(project) == 1, "one replica")
    recipient = f"{uuid.uuid4().hex}@example.test"
    for _ in range(4):
        with mail_program(project, trust) as program:
            program.sendmail("a@example.test", [recipient], MESSAGE)
    docker("start", victim)
    wait_until(lambda: up(project) == 2, "both replicas", timeout=STARTED)
    assert len(mails(project, recipient, replica=2)) == 4


def test_a_new_certificate_is_shown_and_the_connections_go_on(project: Project, trust: Path) -> None:
    def shown() -> str:
        return ssl.get_server_certificate(("localhost", port(project, SMTPS)))

    before = shown()
    with echo(project, trust) as sock:
        assert ask(sock, b"before")["seq"] == 1
        renew = "rm /var/lib/haproxy/edge.pem && /usr/local/etc/haproxy/certificate /var/lib/haproxy"
        project.compose("run", "--rm", "--no-deps", "edge-certificate", "sh", "-c", renew)
        project.compose("kill", "-s", "SIGUSR2", "edge")
        wait_until(lambda: shown() != before, "the new certificate")
        assert ask(sock, b"after")["seq"] == 2
