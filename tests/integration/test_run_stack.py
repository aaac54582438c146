"""`make run`, its settings and its end, on each session store."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from rr_tcp.testing import free_ports, roadrunner
from scripts.run_stack import redacted
from tests.e2e.clients import RawClient, echo_lines
from tests.e2e.targets import PORT_SETTINGS, NativeTarget, native
from tests.integration.conftest import ROOT, accepts, process_exists
from tests.support.servers import running_redis
from tests.support.waiting import wait_until

MESSAGE = b"Subject: kept\r\n\r\n..byte for byte\xff\r\n"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(params=["lmdb and sqlite", "redis and redis", "rrkv and maildir"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Every session store and every mail store, in pairs."""
    match request.param:
        case "redis and redis":
            url: str = request.getfixturevalue("redis")
            return {"SESSION_STORE": url, "MAIL_STORE": f"{url.removesuffix('0')}1"}
        case "rrkv and maildir":
            return {"SESSION_STORE": "rrkv://sessions", "MAIL_STORE": f"maildir:///{tmp_path}/box"}
        case _:
            return {"SESSION_STORE": f"lmdb://{tmp_path}/sessions", "MAIL_STORE": f"sqlite:///{tmp_path}/mail.db"}


def send_mail(stack: NativeTarget) -> None:
    with smtplib.SMTP(stack.smtp.host, stack.smtp.port, timeout=30) as client:
        client.sendmail("a@x.test", ["b@y.test"], MESSAGE, ["BODY=8BITMIME"])


def test_the_stack_works_on_every_store_and_keeps_mail_over_a_restart(stores: dict[str, str], tmp_path: Path) -> None:
    with native(tmp_path, stores) as stack:
        send_mail(stack)
        with RawClient(stack.echo) as client:
            answers = echo_lines(client, [b"x"] * 50)
        assert [answer["seq"] for answer in answers] == list(range(1, 51))
        assert len({answer["worker"] for answer in answers}) == 2
    with native(tmp_path, stores) as stack:
        [mail] = stack.mails()
        assert stack.mail(mail["id"]) == MESSAGE


def run_stack(env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.run_stack"],
        cwd=ROOT,
        env={**os.environ, "ENV_FILE": os.devnull, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def ports() -> dict[str, str]:
    settings = [*PORT_SETTINGS.values(), "RPC_PORT", "METRICS_PORT"]
    return dict(zip(settings, map(str, free_ports(len(settings))), strict=True))


@pytest.mark.parametrize("setting", ["SMTP_PORT", "ECHO_PORT", "RPC_PORT", "METRICS_PORT"])
def test_a_port_that_is_taken_is_named_and_nothing_starts(setting: str, ports: dict[str, str]) -> None:
    """RoadRunner itself would share it."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        done = run_stack({**ports, setting: str(sock.getsockname()[1])})
    assert done.returncode == 1
    assert setting in done.stderr


@pytest.mark.parametrize("setting", ["ECHO_PORT", "RPC_PORT", "METRICS_PORT"])
def test_two_listeners_on_one_port_are_refused(setting: str, ports: dict[str, str]) -> None:
    """RoadRunner would give each client to one of them, whichever."""
    done = run_stack({**ports, setting: ports["SMTP_PORT"]})
    assert done.returncode == 1
    assert f"SMTP_PORT and {setting} both have the port" in done.stderr


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("SMTP_PORT", "smtp", "SMTP_PORT is 'smtp'"),
        ("ECHO_PORT", "70000", "ECHO_PORT is '70000'"),
        ("LISTEN_HOST", "192.0.2.1", "LISTEN_HOST"),
        ("WORKERS", "none", "WORKERS is 'none'"),
        ("SESSION_TTL", "0", "SESSION_TTL is '0'"),
        ("SESSION_TTL", "99999999999", "SESSION_TTL is '99999999999'"),
        ("SESSION_STORE", "mysql://localhost", "the session store's URL (mysql://...)"),
        ("SMTP_MAX_SIZE", "big", "SMTP_MAX_SIZE is 'big'"),
        ("MAIL_STORE", "mbox:///nowhere", "mbox"),
        ("MAIL_STORE", "sqlite:////proc/no/mail.db", "the mail store /proc/no/mail.db cannot be opened"),
        ("MAIL_STORE", "redis://127.0.0.1:1/0", "the mail store, Redis at 127.0.0.1:1/0, cannot be used"),
        ("SESSION_STORE", "rrkv://mails", "the section kv of .rr.yaml has sessions"),
        ("LOG_LEVEL", "chatty", "LOG_LEVEL is 'chatty': give DEBUG, INFO, WARNING or ERROR"),
        ("SMTP_HANDLER", "no.such.Handler", "no.such.Handler"),
        ("SMTP_HANDLER", "no.such.Handler", "make run: the server ended with exit code 1 before it served"),
        ("ECHO_MAX_LINE", "-1", "ECHO_MAX_LINE is '-1'"),
        ("EDGE_NETWORKS", "10.0.0.0/99", "EDGE_NETWORKS: '10.0.0.0/99' is no network"),
        ("EDGE_NETWORKS", "no-such-host.invalid", "the host 'no-such-host.invalid', whose network cannot be found"),
        ("SMTP_AUTH_LISTENERS", "smpts", "SMTP_AUTH_LISTENERS names 'smpts', which is no listener"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    setting: str, value: str, said: str, ports: dict[str, str], tmp_path: Path
) -> None:
    stores = {"SESSION_STORE": f"lmdb://{tmp_path}/sessions", "MAIL_STORE": f"sqlite:///{tmp_path}/mail.db"}
    done = run_stack({**ports, **stores, setting: value})
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_setting_that_is_empty_is_the_default(tmp_path: Path) -> None:
    with native(tmp_path, {"WORKERS": "", "SMTP_HOSTNAME": "", "ECHO_MAX_LINE": "", "SESSION_TTL": ""}) as stack:
        send_mail(stack)


def test_a_redis_that_does_not_answer_is_said_before_anything_starts(ports: dict[str, str]) -> None:
    [port] = free_ports(1)
    done = run_stack({**ports, "SESSION_STORE": f"redis://user:secret-word@127.0.0.1:{port}/0"})
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "secret-word" not in done.stdout + done.stderr


@pytest.mark.parametrize("user_info", ["user:secret@", ":secret@", ":se@cret@", "user:se%40cret@"])
def test_a_stores_url_is_shown_without_user_and_password(user_info: str) -> None:
    assert redacted(f"redis://{user_info}redis.test:6379/0") == "redis://redis.test:6379/0"


@pytest.mark.parametrize(
    "url", ["lmdb:///dev/shm/sessions", "sqlite:////var/mail.db", "redis://h/0", "rrkv://sessions"]
)
def test_a_stores_url_without_them_is_shown_as_it_is(url: str) -> None:
    assert redacted(url) == url


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_make_run_ends_with_everything_it_started(
    number: signal.Signals, ports: dict[str, str], tmp_path: Path
) -> None:
    """As a terminal does on Ctrl-C: the signal goes to make and all that it started in the foreground."""
    env = {**ports, "SESSION_STORE": f"lmdb://{tmp_path}/sessions", "MAIL_STORE": f"sqlite:///{tmp_path}/mail.db"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["make", "run"],
            cwd=ROOT,
            env={**os.environ, "ENV_FILE": os.devnull, **env},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while "ready: " not in (tmp_path / "log").read_text():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with socket.create_connection(("127.0.0.1", int(ports["ECHO_PORT"]))) as client:
            client.sendall(b"who\n")
            worker = json.loads(client.makefile().readline())["worker"]
        server = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    finally:
        os.killpg(process.pid, number)
        process.wait(60)
    assert not process_exists(worker)
    assert not process_exists(server)
    for port in ports.values():
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", int(port)))


def test_an_interrupt_at_any_moment_leaves_nothing_behind(ports: dict[str, str], tmp_path: Path) -> None:
    """Also while the server is being started, which is when a runner could lose its child."""
    env = {
        **os.environ,
        **ports,
        "ENV_FILE": os.devnull,
        "SESSION_STORE": f"lmdb://{tmp_path}/sessions",
        "MAIL_STORE": f"sqlite:///{tmp_path}/mail.db",
    }
    for _ in range(5):
        runner = subprocess.Popen(
            [sys.executable, "-m", "scripts.run_stack"], cwd=ROOT, env=env, stdout=subprocess.DEVNULL
        )
        children: list[int] = []
        deadline = time.monotonic() + 30
        while not children:
            assert time.monotonic() < deadline
            children = [int(pid) for pid in Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()]
        runner.send_signal(signal.SIGINT)
        assert runner.wait(60) == 0
        assert not any(process_exists(pid) for pid in children)


def test_a_runner_that_is_killed_takes_the_server_with_it(tmp_path: Path) -> None:
    stack = NativeTarget(tmp_path, {})
    stack.start()
    assert stack._process is not None
    runner = stack._process
    [server] = [int(pid) for pid in Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()]
    runner.kill()
    runner.wait()
    wait_until(lambda: not process_exists(server))


def test_a_server_that_is_killed_is_told_as_such(tmp_path: Path) -> None:
    stack = NativeTarget(tmp_path, {})
    stack.start()
    assert stack._process is not None
    runner = stack._process
    [server] = [int(pid) for pid in Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()]
    os.kill(server, signal.SIGKILL)
    assert runner.wait(60) == 1
    assert "make run: the server was ended by signal 9 (Killed), and nobody here told it to" in stack.log()


@pytest.mark.parametrize("service", ["smtp", "echo"])
def test_each_service_runs_in_a_server_of_its_own(
    service: str, rr_binary: Path, ports: dict[str, str], tmp_path: Path
) -> None:
    port = int(ports[f"{service.upper()}_PORT"])
    env = {
        **ports,
        "PYTHON": sys.executable,
        "SESSION_STORE": f"lmdb://{tmp_path}/sessions",
        "MAIL_STORE": f"sqlite:///{tmp_path}/mail.db",
    }
    protocol = {"smtp": "smtp", "echo": "line"}[service]
    with roadrunner(
        rr_binary,
        ROOT / f"deploy/split/{service}.rr.yaml",
        cwd=ROOT,
        env=env,
        log=tmp_path / "rr.log",
        probes=[accepts(port)],
    ):
        subprocess.run([sys.executable, "-m", "rr_tcp", "probe", protocol, f"127.0.0.1:{port}"], cwd=ROOT, check=True)
