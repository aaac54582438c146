"""The services, and handlers of the other kinds, in the one worker whose memory is watched."""

from __future__ import annotations

from rr_tcp import App, Request
from workers import all as services


def build_app() -> App:
    """The App of this process, from its environment."""
    app = services.build_app()

    @app.on("coroutine")
    async def coroutine(request: Request) -> bytes:
        return request.body

    @app.on("broken")
    def broken(request: Request) -> None:
        raise RuntimeError(f"on purpose, for {request.connection_uuid}")

    return app
