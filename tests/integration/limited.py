"""An App whose connections have limits, for the reaper to hold them to on the real server."""

from __future__ import annotations

import os

from rr_tcp import App, ConnectionLimits
from rr_tcp.stores import open_store
from tests.integration.apps import CounterProtocol

IDLE, AGE = 2.0, 8.0
NO_HURRY = 15.0
"""Seconds of the server `patient`: longer than a reset of the workers takes, on a slow machine too."""


def build_app() -> App:
    app = App(store=open_store(os.environ["SESSION_STORE"], rpc_address=os.environ["RR_RPC"]))
    app.add("counter", CounterProtocol(), limits=ConnectionLimits(idle=IDLE, age=AGE))
    app.add("patient", CounterProtocol(), limits=ConnectionLimits(idle=NO_HURRY))
    return app
