"""HAProxy with the edge's configuration, in front of two real stacks on one Redis.

The stacks listen on the same ports of 127.0.0.1 and 127.0.0.2, and a name server of the test tells of them, as Docker's
does. Clients come from other addresses of the loopback network.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rr_tcp.cli import main
from rr_tcp.testing import free_ports
from services.smtp.users import hash_password
from services.smtp.users_file import set_user
from tests.e2e.clients import TIMEOUT
from tests.e2e.targets import NativeTarget
from tests.support.edge import Edge, haproxy_version, running_edge
from tests.support.names import Names, name_server
from tests.support.servers import running_redis
from tests.support.waiting import wait_until

HOSTS = ("127.0.0.1", "127.0.0.2")
PASSWORD = "open sesame"
MESSAGE = "Subject: hello\r\n\r\nHello\r\n"


@dataclass
class Replicas:
    """Two stacks with the same ports, at two addresses."""

    stacks: list[NativeTarget]
    names: Names

    @property
    def behind_edge(self) -> dict[str, int]:
        return {server: self.stacks[0].address(server).port for server in ("smtps", "echos")}

    @property
    def variables(self) -> dict[str, str]:
        """Where the edge finds them."""
        return {
            "EDGE_RESOLVER": f"127.0.0.1:{self.names.port}",
            **{f"{server.upper()}_PORT": str(port) for server, port in self.behind_edge.items()},
        }


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    directory = tmp_path_factory.mktemp("replicas")
    set_user(directory / "users", "alice", hash_password(PASSWORD))
    settings = ("SMTP_PORT", "ECHO_PORT", "SMTPS_PORT", "ECHOS_PORT")
    ports = dict(zip(settings, map(str, free_ports(len(settings))), strict=True))
    stacks = []
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(running_redis(directory))
        env = {
            **ports,
            "SESSION_STORE": redis.url,
            "MAIL_STORE": redis.url.removesuffix("0") + "1",
            "SMTP_AUTH_LISTENERS": "smtps",
            "SMTP_USERS": str(directory / "users"),
            "EDGE_NETWORKS": "127.0.0.1",
        }
        for host in HOSTS:
            (directory / host).mkdir()
            target = NativeTarget(directory / host, {**env, "LISTEN_HOST": host})
            target.start()
            stack.callback(target.stop)
            stacks.append(target)
        names = stack.enter_context(name_server(*HOSTS))
        yield Replicas(stacks, names)


@pytest.fixture(scope="module")
def edge(replicas: Replicas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    often = dict.fromkeys(
        ("EDGE_CLIENT_RATE", "EDGE_CLIENT_CONNECTIONS"), "100000"
    )  # as who waits for a condition does
    with running_edge(tmp_path_factory.mktemp("edge"), replicas.variables, **often) as running:
        wait_until(lambda: all_workers(replicas) <= workers_seen(running), "both replicas")
        yield running


@pytest.fixture
def edge_with(replicas: Replicas, tmp_path: Path) -> Iterator[Callable[..., Edge]]:
    """Another edge, with settings of its own."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running_edge(tmp_path, replicas.variables, **settings))


def ask(sock: socket.socket, line: bytes = b"who") -> dict[str, object]:
    """The echo's answer to a line."""
    sock.sendall(line + b"\n")
    with sock.makefile("rb") as file:
        answer: dict[str, object] = json.loads(file.readline())
    return answer


def echo(edge: Edge, *, source: str = "127.0.0.1") -> dict[str, object]:
    """The answer of one connection."""
    with edge.secure("echos", source=source) as sock:
        return ask(sock)


def refused(edge: Edge, *, source: str) -> bool:
    """Whether an address gets no connection through TLS now."""
    try:
        echo(edge, source=source)
    except (ConnectionError, ssl.SSLError):
        return True
    return False


def all_workers(replicas: Replicas) -> set[object]:
    """The pids of the workers of both."""
    pids: set[object] = set()
    for target in replicas.stacks:
        with socket.create_connection((target.echo.host, target.echo.port), TIMEOUT) as sock:
            pids |= {ask(sock)["worker"] for _ in range(50)}
    return pids


_seen: dict[Path, set[object]] = {}


def workers_seen(edge: Edge) -> set[object]:
    """The pids of all workers that answered through the edge so far, and one more."""
    seen = _seen.setdefault(edge.log, set())
    seen.add(echo(edge, source="127.0.0.77")["worker"])
    return seen


def send_mail(edge: Edge, *, source: str) -> str:
    """Sends a mail; gives its recipient, whom no other mail has."""
    recipient = f"{uuid.uuid4().hex}@example.test"
    with edge.mail_program(source=source) as program:
        program.sendmail("a@example.test", [recipient], MESSAGE)
    return recipient


def test_a_mail_through_tls_is_kept_with_the_clients_own_address(edge: Edge, replicas: Replicas) -> None:
    recipients = {send_mail(edge, source=source): source for source in ("127.0.0.3", "127.0.0.4", "127.0.0.5")}
    for target in replicas.stacks:  # whichever took them, both have them
        kept = {mail["rcpt_tos"][0]: mail for mail in target.mails()}
        for recipient, source in recipients.items():
            assert kept[recipient]["peer"].rpartition(":")[0] == source
            assert kept[recipient]["protocol"] == "ESMTPS"


def test_the_echo_through_tls_tells_the_clients_own_address(edge: Edge) -> None:
    for source in ("127.0.0.6", "127.0.0.7"):
        with edge.secure("echos", source=source) as sock:
            host, port = sock.getsockname()[:2]
            for number in (1, 2, 3):
                answer = ask(sock, b"hello")
                assert (answer["remote_addr"], answer["server"]) == (f"{host}:{port}", "echos")
                assert (answer["body"], answer["seq"]) == ("hello", number)


def test_health_checks_leave_no_errors_in_the_log(replicas: Replicas, edge_with: Callable[..., Edge]) -> None:
    """Of each echo check that ended by a reset RoadRunner would log a read error, on a stack that has nothing to do."""

    def errors_of_checks() -> int:
        port = replicas.behind_edge["echos"]
        return sum(len(re.findall(rf"read error.*:{port}->", target.log())) for target in replicas.stacks)

    before = errors_of_checks()
    edge = edge_with()
    passed = r'^haproxy_server_check_status\{proxy="echos",server="stack\d+",state="L7OK"\} 1$'
    wait_until(lambda: len(re.findall(passed, edge.metrics(), re.MULTILINE)) == len(HOSTS), "a check of each replica")
    with edge.secure("echos") as sock:
        assert ask(sock)["body"] == "who"
    assert errors_of_checks() == before


def test_the_connections_are_shared_out(edge: Edge, replicas: Replicas) -> None:
    """Each new one goes to the replica with the fewest: of four at once, each has two."""
    pools = [set[object](), set[object]()]
    for target, pool in zip(replicas.stacks, pools, strict=True):
        with socket.create_connection((target.echo.host, target.echo.port), TIMEOUT) as sock:
            pool |= {ask(sock)["worker"] for _ in range(50)}
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(edge.secure("echos", source="127.0.0.8")) for _ in range(4)]
        workers = [ask(sock)["worker"] for sock in socks]
    assert [sum(worker in pool for worker in workers) for pool in pools] == [2, 2]


def test_clients_authenticate_through_the_edge_and_only_there(edge: Edge, replicas: Replicas) -> None:
    with edge.mail_program() as program:
        program.ehlo()
        assert program.esmtp_features["auth"].split() == ["LOGIN", "PLAIN"]
        program.login("alice", PASSWORD)
        recipient = f"{uuid.uuid4().hex}@example.test"
        program.sendmail("alice@example.test", [recipient], MESSAGE)
    [protocol] = [mail["protocol"] for mail in replicas.stacks[0].mails() if recipient in mail["rcpt_tos"]]
    assert protocol == "ESMTPSA"
    for target in replicas.stacks:
        with smtplib.SMTP(target.smtp.host, target.smtp.port, timeout=TIMEOUT) as plain:
            plain.ehlo()
            assert not plain.has_extn("auth")
            assert plain.docmd("AUTH", "PLAIN AGFsaWNlAG9wZW4gc2VzYW1l")[0] == 538


def test_an_address_that_a_client_tells_through_tls_is_not_believed(edge: Edge, replicas: Replicas) -> None:
    spoofed = b"PROXY TCP4 203.0.113.9 198.51.100.7 56324 465"
    with edge.secure("echos", source="127.0.0.9") as sock:
        answer = ask(sock, spoofed + b"\r")
        assert answer["body"] == spoofed.decode()
        assert str(answer["remote_addr"]).startswith("127.0.0.9:")
    with edge.mail_program(source="127.0.0.9") as program:
        assert program.docmd(spoofed.decode())[0] == 500
        recipient = f"{uuid.uuid4().hex}@example.test"
        program.sendmail("a@example.test", [recipient], MESSAGE)
    [peer] = [mail["peer"] for mail in replicas.stacks[0].mails() if recipient in mail["rcpt_tos"]]
    assert peer.startswith("127.0.0.9:")


@pytest.mark.parametrize("server", ["smtps", "echos"])
def test_who_is_not_the_edge_is_closed_whatever_line_it_sends(replicas: Replicas, server: str) -> None:
    for host in HOSTS:
        address = (host, replicas.behind_edge[server])
        with socket.create_connection(address, TIMEOUT, source_address=("127.0.0.9", 0)) as sock:
            with contextlib.suppress(ConnectionError):  # it may be closed already
                sock.sendall(b"PROXY TCP4 203.0.113.9 198.51.100.7 56324 465\r\nhello\r\n")
            assert received(sock) == b""


def received(sock: socket.socket) -> bytes:
    """All until the end of the connection."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(4096):
            data += piece
    return data


@pytest.mark.parametrize("server", ["smtps", "echos"])
def test_a_client_without_tls_is_closed_and_the_next_one_is_served(edge: Edge, server: str) -> None:
    with edge.connect(server, source="127.0.0.10") as sock:
        sock.sendall(b"EHLO client.example\r\nMAIL FROM:<a@example.test>\r\n")
        assert received(sock)[:1] in {b"", b"\x15"}, "at most an alert of TLS"
    assert send_mail(edge, source="127.0.0.10")
    assert echo(edge, source="127.0.0.10")


def test_a_tls_client_on_a_plain_port_fails_and_the_next_one_is_served(edge: Edge, replicas: Replicas) -> None:
    [target, _] = replicas.stacks
    for address in (target.smtp, target.echo):
        with socket.create_connection((address.host, address.port), 1) as sock, pytest.raises(OSError):  # noqa: PT011 - an error of TLS, or no answer in time
            edge.context().wrap_socket(sock, server_hostname="localhost")
    with socket.create_connection((target.echo.host, target.echo.port), TIMEOUT) as sock:
        assert ask(sock, b"hello")["body"] == "hello"
    with smtplib.SMTP(target.smtp.host, target.smtp.port, timeout=TIMEOUT) as plain:
        assert plain.noop()[0] == 250


@pytest.mark.parametrize(("server", "protocol"), [("smtps", "smtp"), ("echos", "line"), ("smtps", "connect")])
def test_a_probe_speaks_tls_and_verifies_the_edge(
    edge: Edge, server: str, protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for host in ("localhost", "127.0.0.1"):
        assert main(["probe", protocol, f"{host}:{edge.ports[server]}", "--ca", str(edge.trust)]) == 0
    address = f"localhost:{edge.ports[server]}"
    assert main(["probe", protocol, address, "--tls"]) == 1, "the system does not know its authority"
    assert "no TLS: " in capsys.readouterr().err
    if protocol != "connect":
        assert main(["probe", protocol, address]) == 1


def test_a_probe_for_tls_fails_where_there_is_none(replicas: Replicas, capsys: pytest.CaptureFixture[str]) -> None:
    smtp = replicas.stacks[0].smtp
    assert main(["probe", "smtp", f"{smtp.host}:{smtp.port}", "--tls"]) == 1
    assert "no TLS: " in capsys.readouterr().err


def test_tls_before_version_1_2_is_refused(edge: Edge) -> None:
    def hello(version: str) -> subprocess.CompletedProcess[str]:
        address = f"127.0.0.1:{edge.ports['smtps']}"
        command = ["openssl", "s_client", "-connect", address, version, "-cipher", "ALL:@SECLEVEL=0"]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    refused = hello("-tls1_1")
    assert refused.returncode == 1
    assert "alert protocol version" in refused.stderr, "it is the edge that refuses"
    assert hello("-tls1_2").returncode == 0


def test_an_address_has_so_many_connections_and_another_one_is_not_affected(edge_with: Callable[..., Edge]) -> None:
    edge = edge_with(EDGE_CLIENT_CONNECTIONS="3", EDGE_CLIENT_RATE="100000")
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(edge.secure(server, source="127.0.0.11")) for server in ("echos", "smtps")]
        socks.append(stack.enter_context(edge.secure("echos", source="127.0.0.11")))
        assert refused(edge, source="127.0.0.11")
        assert not refused(edge, source="127.0.0.12")
        assert ask(socks[0], b"still here")["body"] == "still here"
        socks[2].close()
        wait_until(lambda: not refused(edge, source="127.0.0.11"), "a place")


def test_clients_that_left_take_up_no_place(edge_with: Callable[..., Edge]) -> None:
    """RoadRunner may keep its end of a connection for minutes after the client's; the edge does not wait for it."""
    edge = edge_with(EDGE_CLIENT_CONNECTIONS="3", EDGE_CLIENT_RATE="100000")
    for _ in range(3):
        with edge.secure("echos", source="127.0.0.19") as sock:
            ask(sock)
    wait_until(lambda: not refused(edge, source="127.0.0.19"), "a place", timeout=TIMEOUT)


def test_an_address_that_connects_too_often_is_refused_until_it_stops(edge_with: Callable[..., Edge]) -> None:
    edge = edge_with(EDGE_CLIENT_RATE="20")
    for _ in range(20):
        assert not refused(edge, source="127.0.0.13")
    assert refused(edge, source="127.0.0.13")
    assert not refused(edge, source="127.0.0.14")
    last = time.monotonic()

    def welcome() -> bool:
        """Tries every two seconds, which is less than what is allowed; what is refused counts, too."""
        nonlocal last
        if time.monotonic() < last + 2:
            return False
        last = time.monotonic()
        return not refused(edge, source="127.0.0.13")

    wait_until(welcome, "an end of the refusals")


def test_an_address_that_sends_too_much_is_slowed_down_or_refused(edge_with: Callable[..., Edge]) -> None:
    """2.7 and newer slow it down; older ones close its new connections, from some seconds later on."""
    bandwidth, size, lines = 50_000, 50_000, 16
    edge = edge_with(EDGE_CLIENT_BANDWIDTH=str(bandwidth), EDGE_CLIENT_RATE="100000", EDGE_CLIENT_CONNECTIONS="100000")
    began = time.monotonic()
    with edge.secure("echos", source="127.0.0.15") as sock:
        for _ in range(lines):
            ask(sock, b"x" * size)
        if haproxy_version() >= (2, 7):
            assert time.monotonic() - began > (lines - 2) * size / bandwidth
        else:
            wait_until(lambda: refused(edge, source="127.0.0.15"), "an end of the new connections")
        assert not refused(edge, source="127.0.0.16")


def kill_server(target: NativeTarget) -> None:
    runner = target._process
    assert runner is not None
    [server] = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
    os.kill(int(server), signal.SIGKILL)
    assert runner.wait(TIMEOUT) == 1


def test_replicas_come_and_go(edge: Edge, replicas: Replicas) -> None:
    """One that is killed gets no more connections, one that is back gets them again; nobody is refused meanwhile."""
    [first, second] = replicas.stacks
    pool = all_workers(replicas)
    with socket.create_connection((first.echo.host, first.echo.port), TIMEOUT) as sock:
        of_first = {ask(sock)["worker"] for _ in range(50)}
    kill_server(second)

    def left_both_services() -> bool:
        return set(re.findall(r"Server (\w+)/stack\d+ is DOWN", edge.log.read_text())) == {"smtps", "echos"}

    wait_until(left_both_services)
    assert {echo(edge)["worker"] for _ in range(8)} <= of_first
    assert send_mail(edge, source="127.0.0.17")
    second._log.unlink()  # which says "ready" from the first time
    second.start()
    wait_until(lambda: not {echo(edge, source="127.0.0.18")["worker"]} & pool, "the new workers")


def test_replicas_are_found_by_their_name(replicas: Replicas, edge_with: Callable[..., Edge]) -> None:
    replicas.names.addresses = HOSTS[:1]
    try:
        edge = edge_with(EDGE_CLIENT_RATE="100000", EDGE_CLIENT_CONNECTIONS="100000")
        with socket.create_connection((HOSTS[0], replicas.stacks[0].echo.port), TIMEOUT) as sock:
            of_first = {ask(sock)["worker"] for _ in range(50)}
        assert {echo(edge)["worker"] for _ in range(8)} <= of_first
        replicas.names.addresses = HOSTS
        wait_until(lambda: not {echo(edge)["worker"]} & of_first, "the second replica")
    finally:
        replicas.names.addresses = HOSTS


def test_an_edge_without_replicas_is_not_healthy(replicas: Replicas, edge_with: Callable[..., Edge]) -> None:
    edge = edge_with()
    replicas.names.addresses = ()
    try:
        wait_until(lambda: not edge.healthy(), "a bad status")
    finally:
        replicas.names.addresses = HOSTS
    wait_until(edge.healthy, "a good status")
