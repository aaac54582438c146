"""The SMTP service in a pool of its own; `all.py` adds it to the shared one."""

from __future__ import annotations

import os
from collections.abc import Mapping

from rr_tcp import App
from services.smtp import SmtpProtocol, SmtpSettings
from services.smtp.metrics import MailMetrics
from workers.settings import connection_limits, new_app, reporter_of


def add_to(app: App, env: Mapping[str, str]) -> None:
    """Lets the service handle the server `smtp`, and the servers on which clients may authenticate."""
    settings = SmtpSettings.from_env(env)
    reporter = reporter_of(app)
    protocol = SmtpProtocol(settings, observer=MailMetrics(reporter) if reporter else None)
    for server in dict.fromkeys(("smtp", *settings.auth_listeners)):
        app.add(server, protocol, limits=connection_limits(env, "smtp"))
    app.on_startup(protocol.start)
    app.on_shutdown(protocol.close)


def build_app() -> App:
    """The App of this process, from its environment."""
    app = new_app(os.environ)
    add_to(app, os.environ)
    return app
