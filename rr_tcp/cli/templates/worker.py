"""The service sample in a pool of its own; `all.py` adds it to the shared one."""

from __future__ import annotations

import os
from collections.abc import Mapping

from rr_tcp import App
from services.sample import SampleProtocol, SampleSettings
from workers.settings import connection_limits, new_app


def add_to(app: App, env: Mapping[str, str]) -> None:
    """Lets the service handle the server `sample`."""
    protocol = SampleProtocol(SampleSettings.from_env(env))
    limits = connection_limits(env, "sample")
    app.add("sample", protocol, limits=limits)


def build_app() -> App:
    """The App of this process, from its environment."""
    app = new_app(os.environ)
    add_to(app, os.environ)
    return app
