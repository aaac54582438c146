"""The event loop that a worker's `async def` methods run in, one at a time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable
from typing import Any

from rr_tcp.errors import HandlerError
from rr_tcp.process import Forks


def new_event_loop() -> asyncio.AbstractEventLoop:
    """An event loop that a forked child cannot run: it would wake up in its parent's place."""
    selector = selectors.DefaultSelector()
    Forks.close_in_children(selector)
    return asyncio.SelectorEventLoop(selector)


async def finish(awaitable: Awaitable[Any]) -> Any:
    """Waits for what a handler returned; `HandlerError` when it was cancelled, which no `except Exception` sees."""
    try:
        return await awaitable
    except asyncio.CancelledError as error:  # no `Exception`: it would end the worker, not the connection
        raise HandlerError("the handler was cancelled") from error
