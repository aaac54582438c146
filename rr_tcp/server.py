"""A RoadRunner server as a child process: start, wait until it serves, stop with everything it started."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import IO

from rr_tcp.errors import ConfigurationError, ProbeError, ServerError

_POLL = 0.05  # seconds between the first two looks at a condition
_LONGEST_PAUSE = 1.0  # seconds between two looks at last

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_ANY_IPV4 = "0.0.0.0"  # noqa: S104 - compared only
_PRIVILEGED = 1023  # up to here, ports are for root
_LAST_PORT = 65535


class RoadRunnerServer:
    """One `rr serve`, in a session of its own: a terminal's Ctrl-C reaches it through us, in order, and only once.

    Args:
        binary: the server, e.g. `bin/rr`.
        config: its configuration file.
        cwd: its working directory, from which workers are started.
        env: its whole environment, which workers inherit.
        output: where its output and the workers' stderr go; inherited by default.
        overrides: `dot.notation=value` settings that replace the file's.

    Attributes:
        killed: whether `kill` was called, after which there is no orderly end.
    """

    def __init__(
        self,
        binary: Path,
        config: Path,
        *,
        cwd: Path,
        env: Mapping[str, str],
        output: IO[bytes] | None = None,
        overrides: Sequence[str] = (),
    ) -> None:
        self._command = [str(binary), "serve", "-w", str(cwd), "-c", str(config)]
        for override in overrides:
            self._command += ["-o", override]
        self._env = dict(env)
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self.killed = False

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._started().pid

    def start(self) -> None:
        """Starts the process; does not wait until it serves."""
        try:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT if self._output else None,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - nothing here runs threads yet, and it makes one system call
            )
        except OSError as error:
            raise ServerError(f"cannot start {self._command[0]}: {error}. `make rr` gets the server") from error

    def wait_ready(self, probes: Sequence[Callable[[], None]], *, timeout: float) -> None:
        """Waits until every probe passes.

        Args:
            probes: each returns when its service answers and raises `ProbeError` until then.
            timeout: seconds for all of them.

        Raises:
            ServerError: the server ended, or a probe still failed at the end of the time.
        """
        deadline = time.monotonic() + timeout
        for probe in probes:
            pause = _POLL
            while (problem := _failure(probe)) is not None:
                if (code := self.poll()) is not None:
                    raise ServerError(f"the server {how_it_ended(code)} before it served; its log says why")
                if time.monotonic() > deadline:
                    raise ServerError(f"the server is not ready after {timeout:g} s: {problem}")
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)  # a probe that cannot pass must not flood the log
        if (code := self.poll()) is not None:  # somebody else answered the probes on these ports
            raise ServerError(f"the server {how_it_ended(code)}, but its ports answer: are they taken?")

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._started().poll()

    def wait(self) -> int:
        """Waits for the end of the server and returns its exit code."""
        return self._started().wait()

    def terminate(self) -> None:
        """Asks the server to end, as an operator would, with SIGTERM; it ends its workers in order."""
        if self.poll() is None:
            self._started().terminate()

    def stop(self, *, timeout: float) -> int:
        """Ends the server and its workers, and waits for it.

        Args:
            timeout: seconds until it is killed; above the configuration's `endure.grace_period`.

        Returns:
            The exit code, 0 after an orderly end.
        """
        process = self._started()
        self.terminate()
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self) -> None:
        """Kills the server. Its workers find their pipes closed and end by themselves."""
        self.killed = True
        self._started().kill()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerError("the server was not started")
        return self._process


def how_it_ended(code: int) -> str:
    """An exit code as subprocess has it, in words."""
    return f"was ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with exit code {code}"


def find_server() -> Path:
    """The server binary: RR_BINARY, `bin/rr` here, or `rr` on PATH.

    Raises:
        ServerError: there is none.
    """
    for candidate in (os.environ.get("RR_BINARY"), "bin/rr", shutil.which("rr")):
        if candidate and Path(candidate).is_file():
            return Path(candidate).resolve()
    raise ServerError("there is no RoadRunner server: set RR_BINARY to one, or run `make rr` for bin/rr")


def _end_with_parent() -> None:
    """Has Linux end the server when whoever started it dies without a chance to end it (SIGKILL)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def check_free(addresses: Mapping[str, tuple[str, int]], *, host_setting: str) -> None:
    """Refuses a port that is taken, or wanted twice: RoadRunner would share it (SO_REUSEPORT).

    Each of those who listen on it would get a part of the clients.

    Args:
        addresses: host and port by what the user changes to have another one. A host is an IP literal, with or without
            the brackets of IPv6.
        host_setting: what the user changes to have another host.

    Raises:
        ConfigurationError: a port is taken, or wanted twice, or an address is none of this machine.
    """
    for (one, (host, port)), (other, (other_host, other_port)) in combinations(addresses.items(), 2):
        if port == other_port and _overlap(host.strip("[]"), other_host.strip("[]")):
            raise ConfigurationError(f"{one} and {other} both have the port {port}: give each its own")
    for setting, (host, port) in addresses.items():
        _check_free(host, port, setting, host_setting)


def _overlap(one: str, other: str) -> bool:
    """Whether two IP literals have an address in common; `::` stands for those of IPv4 too."""
    if "::" in (one, other) or one == other:
        return True
    return _ANY_IPV4 in (one, other) and ":" not in one + other


def _check_free(host: str, port: int, setting: str, host_setting: str) -> None:
    bare = host.strip("[]")
    with socket.socket(socket.AF_INET6 if ":" in bare else socket.AF_INET) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((bare, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                other = port + 1 if _PRIVILEGED < port < _LAST_PORT else _PRIVILEGED + 1
                advice = f"Set {setting} to another port, e.g. {other}"
            else:
                advice = f"Have {host_setting} name an IP address of this machine, e.g. 127.0.0.1"
            raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}. {advice}") from error


def _failure(probe: Callable[[], None]) -> ProbeError | None:
    try:
        probe()
    except ProbeError as error:
        return error
    return None
