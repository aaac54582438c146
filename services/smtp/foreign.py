"""Foreign code: what it may raise, and how it is awaited without being able to end anything but itself."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from services.smtp.errors import HandlerFaultError

T = TypeVar("T")

FAILURES: Final = (Exception, asyncio.CancelledError, SystemExit)
"""What foreign code may raise while it is imported or made without ending the worker. KeyboardInterrupt is meant for
the worker."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Foreign code raised.

    Attributes:
        error: what it raised.
    """

    error: BaseException


async def settle(code: Coroutine[Any, Any, T]) -> T | Failure:
    """Awaits foreign code, in a task of its own, and returns what came of it.

    In the task of the event it would leave behind what asyncio counts there: before Python 3.13, a task in which a
    TaskGroup failed stays one that is to be cancelled, and with it end the event's other hooks and the replies to mails
    that are stored.

    Raises:
        asyncio.CancelledError: the event itself is cancelled, as on Ctrl-C.
    """
    outcome = await asyncio.ensure_future(_caught(code))
    cancelled = isinstance(outcome, Failure) and isinstance(outcome.error, asyncio.CancelledError)
    if cancelled and (event := asyncio.current_task()) is not None and event.cancelling():
        raise asyncio.CancelledError
    return outcome


async def _caught(code: Coroutine[Any, Any, T]) -> T | Failure:
    try:
        return await code
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - not only `Exception`: a panic of an extension in Rust is none
        return Failure(error)


def without_messages(error: BaseException) -> str:
    """Of foreign code's error, for the log: the type and the place, and those of the errors that it came of.

    Messages are left out, as they may quote what the code was given: a client's password, a mail's text. Those of our
    own `HandlerFaultError` say what is wrong with the code, and stay.
    """
    parts: list[str] = []
    known: set[int] = set()  # errors may be made to come of one another
    link: BaseException | None = error
    while link is not None and id(link) not in known:
        known.add(id(link))
        reason = str(link) if isinstance(link, HandlerFaultError) else type(link).__qualname__
        parts.append("\n".join([reason, *traceback.format_tb(link.__traceback__)]).rstrip("\n"))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\nwhich came of ".join(parts)
