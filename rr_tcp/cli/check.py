"""Whether the code as it is now makes an App that starts, tried in a process of its own.

The process is `python -m rr_tcp.cli.check APP [--start]`: it writes the names of the App's servers to stdout, as JSON,
each with the limits of its connections, idle and age.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping

from rr_tcp.cli.loading import AppReference, load_app
from rr_tcp.errors import ConfigurationError
from rr_tcp.frame import Frame
from rr_tcp.limits import NO_LIMITS, ConnectionLimits
from rr_tcp.worker import Worker

START_TIMEOUT = 30.0
"""Seconds that an App may take to start: short, because whoever has just written it waits."""


def check_app(reference: AppReference, env: Mapping[str, str], *, start: bool = False) -> dict[str, ConnectionLimits]:
    """The servers that the App handles, in its order, each with the limits of its connections.

    Args:
        reference: the App.
        env: the environment of its workers.
        start: whether it is started and ended as well, as by a worker without events. Its start-up callbacks may
            call RoadRunner, which has to run by then.

    Raises:
        ConfigurationError: it cannot be built or started; the message has the traceback.
    """
    command = [sys.executable, "-m", "rr_tcp.cli.check", str(reference), *(["--start"] if start else [])]
    try:
        done = subprocess.run(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(
            f"{reference} takes more than {START_TIMEOUT:g} s to start: what does it wait for?"
        ) from None
    if done.returncode != 0:
        raise ConfigurationError(done.stderr.strip() or f"importing {reference} ended with code {done.returncode}")
    servers: dict[str, list[float | None]] = json.loads(done.stdout)
    if not servers:
        raise ConfigurationError(f"{reference} handles no server: give it a service with App.add or App.on")
    return {name: ConnectionLimits(idle=idle, age=age) for name, (idle, age) in servers.items()}


class _NoEvents:
    """The relay of a RoadRunner that has nothing to do and goes."""

    def send(self, frame: Frame) -> None:
        """Nobody reads it."""

    def receive(self) -> Frame | None:
        """The end."""
        return None

    def close(self) -> None:
        """Nothing is open."""


def main() -> int:
    """Exit code 0 with the names on stdout, else 1 with the reason on stderr."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the code prints is no part of the answer
    try:
        app = load_app(AppReference.parse(sys.argv[1]))
        if "--start" in sys.argv[2:]:
            app.run(Worker(_NoEvents()))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (Exception, SystemExit):  # noqa: BLE001 - whatever the user's code raises is what is asked for
        traceback.print_exc()
        return 1
    with answer:
        limits = {name: app.limits.get(name, NO_LIMITS) for name in app.servers}
        json.dump({name: (its.idle, its.age) for name, its in limits.items()}, answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
