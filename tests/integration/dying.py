"""The SMTP service in a worker that dies at the worst moment: a mail is stored, and its client is not told yet."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from rr_tcp import App
from services.smtp import SmtpProtocol, SmtpSettings, open_mail_store
from workers.settings import new_app

P = ParamSpec("P")
R = TypeVar("R")


def build_app() -> App:
    """The service of `workers.smtp`, whose first mail is the end of its worker; DIED is the file that remembers it."""
    settings = SmtpSettings.from_env(os.environ)
    store: Any = open_mail_store(settings.mail_store)  # whatever store it is
    store.add = _die_once_after(store.add, Path(os.environ["DIED"]))
    protocol = SmtpProtocol(settings, store=store)
    app = new_app(os.environ)
    app.add("smtp", protocol)
    app.on_startup(protocol.start)
    app.on_shutdown(protocol.close)
    return app


def _die_once_after(add: Callable[P, R], died: Path) -> Callable[P, R]:
    def add_and_die(*args: P.args, **kwargs: P.kwargs) -> R:
        result = add(*args, **kwargs)
        try:
            died.touch(exist_ok=False)
        except FileExistsError:
            return result
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("nobody survives SIGKILL")

    return add_and_die
