"""Handler functions: every event of a server, without state."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from rr_tcp.access import AccessRules
from rr_tcp.errors import ResponseTooLargeError
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
        max_response: limit of the answer to one event, bytes.
        run: waits for what an `async def` function returned.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        error_reply: bytes,
        access: AccessRules,
        max_response: int,
        run: Callable[[Awaitable[Any]], Any],
    ) -> None:
        self.error_reply = error_reply
        self._handler = handler
        self._access = access
        self._max_response = max_response
        self._run = run

    def handle(self, request: Request) -> Response:
        """The answer to one event; raises whatever the function raised."""
        if request.event is TcpEvent.CONNECTED and not self._access.allows(request.remote_host):
            return Response(TcpResponse.CLOSE)
        result = self._handler(request)
        if not isinstance(result, bytes) and inspect.isawaitable(result):  # the second question costs 0.4 us
            result = self._run(result)
        response = _response(result)
        if len(response.body) > self._max_response:
            raise ResponseTooLargeError(
                f"the answer to one event takes {len(response.body)} bytes, the limit is {self._max_response}: answer "
                "less per event, or raise App(max_response=...)"
            )
        return response

    def abandon(self, request: Request) -> None:
        """There is no session."""


def _response(result: object) -> Response:
    match result:
        case bytes():
            return Response.of(result, close=False)
        case Response():
            return result
        case None:
            return Response.of(b"", close=False)
        case _:
            raise TypeError(f"a handler returns a Response, bytes or None, not {type(result).__name__}")
