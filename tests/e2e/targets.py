"""The stacks that the end-to-end tests run against: `make run`'s and Compose's."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[2]

READY_TIMEOUT = 90.0  # seconds until a stack must say that it is ready
STOP_TIMEOUT = 60.0  # seconds until it must be gone; above the grace period of every configuration
AT_ONCE = {"DELIVERY_RETRY_FIRST": "1"}  # the smarthost may be up later than the relay
CONTAINER_START_TIMEOUT = 600.0  # seconds; images may have to be built

PORT_SETTINGS = dict(
    re.findall(r"^    (\w+):\n\s+addr: .*\$\{(\w+_PORT):-\d+\}", (ROOT / ".rr.yaml").read_text(), re.MULTILINE)
)
"""The variables with the services' ports, by the names of their listeners."""


@dataclass(frozen=True)
class Address:
    host: str
    port: int


class Target(Protocol):
    """What a test may know of a stack."""

    smtp: Address
    echo: Address

    def address(self, service: str) -> Address:
        """Where a service listens, by the name of its listener."""

    def mails(self) -> list[dict[str, Any]]:
        """What the documented command line lists."""

    def mail(self, mail_id: str) -> bytes:
        """What the documented command line prints for one mail."""

    def signal_worker(self, pid: int, number: signal.Signals) -> None:
        """Sends a signal to the worker with the pid that the echo service tells."""

    def relaying(self) -> contextlib.AbstractContextManager[Relaying]:
        """A stock aiosmtpd, and a relay to it, for the time of the block; the relay must end with exit code 0."""

    def log(self) -> str:
        """The stack's output so far."""


@dataclass(frozen=True)
class Relaying:
    """A smarthost and the relay to it.

    Attributes:
        smarthost: what aiosmtpd's `Debugging` printed so far: every mail that it took.
        queues: what the documented command line lists.
    """

    smarthost: Callable[[], str]
    queues: Callable[[], list[dict[str, Any]]]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


class NativeTarget:
    """`make run`'s program, on free ports of an address of this machine, with stores of its own."""

    def __init__(self, directory: Path, env: Mapping[str, str], overrides: Sequence[str] = ()) -> None:
        rpc_port, metrics_port, *ports = free_ports(2 + len(PORT_SETTINGS))
        self._host = env.get("LISTEN_HOST", "127.0.0.1")
        self._ports = {
            service: int(env.get(PORT_SETTINGS[service], port))
            for service, port in zip(PORT_SETTINGS, ports, strict=True)
        }
        self.smtp, self.echo = self.address("smtp"), self.address("echo")
        self.rpc_address = f"tcp://127.0.0.1:{rpc_port}"
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"
        self._env = {
            **os.environ,
            **_settings(self._ports),
            "RPC_PORT": str(rpc_port),
            "METRICS_PORT": str(metrics_port),
            "SESSION_STORE": f"lmdb://{directory}/sessions",
            "MAIL_STORE": f"sqlite:///{directory}/mail.db",
            "ENV_FILE": os.devnull,  # not the settings of whoever runs the tests
            **env,
        }
        self._options = [option for override in overrides for option in ("-o", override)]
        self._log = directory / "stack.log"
        self._process: subprocess.Popen[bytes] | None = None

    def address(self, service: str) -> Address:
        return Address(self._host, self._ports[service])

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "scripts.run_stack", *self._options],
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + READY_TIMEOUT
        while "ready: " not in self.log():
            assert self._process.poll() is None, f"the stack ended before it was ready:\n{self.log()}"
            assert time.monotonic() < deadline, f"the stack is not ready after {READY_TIMEOUT} s:\n{self.log()}"
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ends the stack, as Ctrl-C does or as an operator does with SIGTERM; returns its exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        try:
            return self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def ended(self) -> int | None:
        """The exit code of a stack that has ended."""
        assert self._process is not None
        return self._process.poll()

    def mails(self) -> list[dict[str, Any]]:
        mails: list[dict[str, Any]] = json.loads(self._command("mails", "--json"))
        return mails

    def mail(self, mail_id: str) -> bytes:
        return self._command("mail", mail_id)

    def signal_worker(self, pid: int, number: signal.Signals) -> None:
        os.kill(pid, number)

    @contextlib.contextmanager
    def relaying(self) -> Iterator[Relaying]:
        (port,) = free_ports(1)
        address, printed = f"127.0.0.1:{port}", self._log.with_name("smarthost.log")
        env = {**self._env, "RELAY_URL": f"smtp://{address}", "PYTHONUNBUFFERED": "1", **AT_ONCE}
        with contextlib.ExitStack() as stack:
            for command in (["aiosmtpd", "-n", "-l", address], ["services.smtp", "relay"]):
                log = stack.enter_context((self._log if "relay" in command else printed).open("ab"))
                relay = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=env, stdout=log, stderr=log)
                stack.callback(relay.wait)
                stack.callback(relay.kill)
            yield Relaying(printed.read_text, lambda: json.loads(self._command("queues", "--json")))
            relay.send_signal(signal.SIGTERM)
            assert relay.wait(STOP_TIMEOUT) == 0, self.log()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _command(self, *args: str) -> bytes:
        return subprocess.run(
            [sys.executable, "-m", "services.smtp", *args], cwd=ROOT, env=self._env, check=True, capture_output=True
        ).stdout


class ComposeTarget:
    """The Compose stack under a project name of its own, on free ports."""

    def __init__(self, project: str) -> None:
        self._ports = dict(zip(PORT_SETTINGS, free_ports(len(PORT_SETTINGS)), strict=True))
        self.smtp, self.echo = self.address("smtp"), self.address("echo")
        self._env = {**os.environ, **_settings(self._ports)}
        self._project = project
        self._compose = ["docker", "compose", "--env-file", os.devnull, "--project-name", project]

    def address(self, service: str) -> Address:
        return Address("127.0.0.1", self._ports[service])

    def up(self) -> None:
        self.down()  # what an earlier run that was killed left behind
        # Not captured: building takes minutes, and its progress is for whoever waits.
        subprocess.run(
            [*self._compose, "up", "--detach", "--build", "--wait"],
            cwd=ROOT,
            env=self._env,
            check=True,
            timeout=CONTAINER_START_TIMEOUT,
        )

    def down(self) -> None:
        subprocess.run(
            [*self._compose, "--profile", "relay", "down", "--volumes", "--remove-orphans", "--timeout", "45"],
            cwd=ROOT,
            env=self._env,
            check=True,
        )

    def mails(self) -> list[dict[str, Any]]:
        mails: list[dict[str, Any]] = json.loads(self._exec("python", "-m", "services.smtp", "mails", "--json"))
        return mails

    def mail(self, mail_id: str) -> bytes:
        return self._exec("python", "-m", "services.smtp", "mail", mail_id)

    def signal_worker(self, pid: int, number: signal.Signals) -> None:
        self._exec("python", "-c", f"import os; os.kill({pid}, {number.value})")

    @contextlib.contextmanager
    def relaying(self) -> Iterator[Relaying]:
        """The smarthost is a container of the relay's image, in its networks, with another command."""
        smarthost = f"{self._project}-smarthost"
        env = {**self._env, "RELAY_URL": f"smtp://{smarthost}:2525", **AT_ONCE}
        relay = [*self._compose, "--profile", "relay"]
        sink = ["--name", smarthost, "--env", "PYTHONUNBUFFERED=1", "relay"]
        listen = ["python", "-m", "aiosmtpd", "-n", "-l", "0.0.0.0:2525"]

        def run(*command: str, check: bool = True) -> str:
            return subprocess.run(
                command, cwd=ROOT, env=env, check=check, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
            ).stdout

        try:
            run(*relay, "build", "relay")
            run(*relay, "run", "--detach", "--no-deps", *sink, *listen)
            run(*relay, "up", "--detach", "--no-deps", "--wait", "relay")
            yield Relaying(
                lambda: run("docker", "logs", smarthost),
                lambda: json.loads(self._exec("python", "-m", "services.smtp", "queues", "--json")),
            )
            run(*relay, "stop", "relay")
            code = run("docker", "inspect", "--format", "{{.State.ExitCode}}", f"{self._project}-relay-1").strip()
            assert code == "0", self.log()
        finally:
            run("docker", "rm", "--force", smarthost, check=False)
            run(*relay, "rm", "--force", "--stop", "relay", check=False)

    def log(self) -> str:
        done = subprocess.run(
            [*self._compose, "logs", "--no-color"], cwd=ROOT, env=self._env, check=False, capture_output=True, text=True
        )
        return done.stdout + done.stderr

    def _exec(self, *command: str) -> bytes:
        return subprocess.run(
            [*self._compose, "exec", "--no-TTY", "stack", *command],
            cwd=ROOT,
            env=self._env,
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        ).stdout


def _settings(ports: Mapping[str, int]) -> dict[str, str]:
    return {PORT_SETTINGS[service]: str(port) for service, port in ports.items()}


@contextlib.contextmanager
def native(
    directory: Path,
    env: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    codes: Collection[int] = (0,),
) -> Iterator[NativeTarget]:
    """A running native stack, stopped at the end; it must end by itself with exit code 0.

    Args:
        directory: for its log, and for stores where `env` has no others.
        env: its settings.
        overrides: `dot.notation=value` settings that replace those of .rr.yaml.
        codes: other exit codes that it may end with, where a test is about that.
    """
    target = NativeTarget(directory, env or {}, overrides)
    try:
        target.start()
        yield target
    finally:
        code = target.stop()
    assert code in codes, f"the stack ended with exit code {code}:\n{target.log()}"


@contextlib.contextmanager
def compose(project: str) -> Iterator[ComposeTarget]:
    """A running Compose stack, always torn down with its volumes."""
    target = ComposeTarget(project)
    try:
        target.up()
        yield target
    except BaseException:
        sys.stderr.write(target.log())
        raise
    finally:
        target.down()
