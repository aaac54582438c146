"""One pool for all services: events are routed by the server's name. The default of `.rr.yaml`."""

from __future__ import annotations

import os

from rr_tcp import App
from workers import (
    echo,
    smtp,
)
from workers.settings import new_app


def build_app() -> App:
    """The App of this process, from its environment."""
    app = new_app(os.environ)
    smtp.add_to(app, os.environ)
    echo.add_to(app, os.environ)
    return app
