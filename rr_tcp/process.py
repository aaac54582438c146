"""What the process that is a worker owes RoadRunner: it ends when told to, and only it speaks for itself."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
import threading
import weakref
from typing import ClassVar, Final, NoReturn, Protocol

log = logging.getLogger(__name__)

END_TIMEOUT: Final = 5.0
"""Seconds that a worker's end may take. RoadRunner kills a worker 10 s after it told it to stop (pool v1.1.3), without
a word of what it hung in; one whose server was killed would hang for ever."""

_STDERR: Final = 2


def prepare() -> None:
    """Readies this process for being a worker: SIGINT ends it at once, like the signals that Python leaves alone.

    Python's KeyboardInterrupt would come up anywhere in an event. Ctrl-C is the server's: its workers have process
    groups of their own.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def limit_end() -> None:
    """Gives the process `END_TIMEOUT` for its end, for threads and callbacks that do not come to theirs.

    After it, the process exits with 1, and the log has the traceback of every thread.
    """
    faulthandler.dump_traceback_later(END_TIMEOUT, exit=True, file=_STDERR)


class _Closable(Protocol):
    def close(self) -> None: ...


class Forks:
    """Tells the worker from a child that user code forked, in which the same code goes on.

    Attributes:
        depth: how many forks lie between the first process and this one.
    """

    depth: ClassVar[int] = 0
    _not_inherited: ClassVar[weakref.WeakSet[_Closable]] = weakref.WeakSet()

    @classmethod
    def close_in_children(cls, resource: _Closable) -> None:
        """Has `resource` closed in children: a copy of it in use would take from its owner, or speak in its name."""
        cls._not_inherited.add(resource)

    @classmethod
    def begin_child(cls) -> None:
        """A child was forked, and this is it."""
        cls.depth += 1
        for resource in cls._not_inherited:
            resource.close()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=Forks.begin_child)


def end_child() -> NoReturn:
    """Ends a child that came back out of the user code that forked it, by return, exception or sys.exit().

    At once, without finalizers: the event it would answer, the sockets of the store and what the event loop waits on
    are its parent's. Only an exit code is passed on.
    """
    match sys.exception():
        case SystemExit(code=None):
            code = 0
        case SystemExit(code=int(number)):
            code = number
        case _:
            code = 1
            log.error(
                "a process that a handler forked came back out of the handler, and was ended. Let such a child end by "
                "os._exit(), or use subprocess or multiprocessing"
            )
    os._exit(code)
