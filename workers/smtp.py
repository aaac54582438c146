"""The SMTP service in a pool of its own; `all.py` adds it to the shared one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from rr_tcp import App, ConfigurationError
from services.smtp import SmtpProtocol, SmtpSettings
from services.smtp.metrics import MailMetrics
from workers.edge import SMTPS, trusted_proxies
from workers.settings import connection_limits, new_app, reporter_of

PLAIN = "smtp"


def add_to(app: App, env: Mapping[str, str]) -> None:
    """Lets the service handle the servers `smtp` and, behind the edge, `smtps`."""
    settings = SmtpSettings.from_env(env)
    if unknown := sorted({*settings.auth_listeners} - {PLAIN, SMTPS}):
        raise ConfigurationError(
            f"SMTP_AUTH_LISTENERS names {unknown[0]!r}, which is no listener of the mail service: give {SMTPS}, or "
            f"{PLAIN} where a proxy of yours ends TLS in front of it"
        )
    reporter, limits = reporter_of(app), connection_limits(env, PLAIN)
    settings = dataclasses.replace(settings, tls_listeners=(SMTPS,))
    protocol = SmtpProtocol(settings, observer=MailMetrics(reporter) if reporter else None)
    app.add(PLAIN, protocol, limits=limits)
    app.add(SMTPS, protocol, limits=limits, trusted_proxies=trusted_proxies(env))
    app.on_startup(protocol.start)
    app.on_shutdown(protocol.close)


def build_app() -> App:
    """The App of this process, from its environment."""
    app = new_app(os.environ)
    add_to(app, os.environ)
    return app
