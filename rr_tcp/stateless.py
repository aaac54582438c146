"""Handler functions: every event of a server, without state."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from rr_tcp.access import AccessRules
from rr_tcp.events import Request, TcpEvent
from rr_tcp.responses import Response, TcpResponse

Handler = Callable[[Request], "Response | bytes | Awaitable[Response | bytes | None] | None"]
"""Returns the answer: a `Response`, bytes to write, or None to read on."""


class FunctionRoute:
    """One server's events to a function.

    Args:
        handler: the function, `def` or `async def`.
        error_reply: sent before closing when it raises.
        access: which clients may connect; the others are closed without a word.
        run: waits for what an `async def` function returned.
    """

    def __init__(
        self, handler: Handler, *, error_reply: bytes, access: AccessRules, run: Callable[[Awaitable[Any]], Any]
    ) -> None:
        self.error_reply = error_reply
        self._handler = handler
        self._access = access
        self._run = run

    def handle(self, request: Request) -> Response:
        """The answer to one event; raises whatever the function raised."""
        if request.event is TcpEvent.CONNECTED and not self._access.allows(request.remote_host):
            return Response(TcpResponse.CLOSE)
        result = self._handler(request)
        if inspect.isawaitable(result):
            result = self._run(result)
        match result:
            case Response():
                return result
            case None | bytes():
                return Response.of(result or b"", close=False)
            case _:
                raise TypeError(f"a handler returns a Response, bytes or None, not {type(result).__name__}")

    def abandon(self, request: Request) -> None:
        """There is no session."""
