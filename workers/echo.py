"""The JSON echo service in a pool of its own; `all.py` adds it to the shared one."""

from __future__ import annotations

import os
from collections.abc import Mapping

from rr_tcp import App
from services.echo import EchoProtocol, EchoSettings
from workers.edge import ECHOS, trusted_proxies
from workers.settings import connection_limits, new_app


def add_to(app: App, env: Mapping[str, str]) -> None:
    """Lets the service handle the servers `echo` and, behind the edge, `echos`."""
    protocol = EchoProtocol(worker=os.getpid(), settings=EchoSettings.from_env(env))
    limits = connection_limits(env, "echo")
    app.add("echo", protocol, limits=limits)
    app.add(ECHOS, protocol, limits=limits, trusted_proxies=trusted_proxies(env))


def build_app() -> App:
    """The App of this process, from its environment."""
    app = new_app(os.environ)
    add_to(app, os.environ)
    return app
