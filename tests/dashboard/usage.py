"""A few minutes of use for a stack: mails and lines that come and go, and some of what can go wrong."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import smtplib
import socket
import threading
import time
from collections.abc import Callable

from rr_tcp.plugins.informer import Informer
from rr_tcp.rpc import RPC
from tests.e2e.targets import NativeTarget
from tests.integration.observed import TEXT, say_lines, send_mails
from tests.support.servers import RedisServer

CLIENTS = 3
"""Clients that send mails at the same time."""

TIDE = 60.0
"""Seconds from one high tide of mails to the next."""

OUTAGE = 3.0
"""Seconds without the session store."""


class Usage:
    """Clients of a stack, in threads.

    Args:
        stack: the stack.
        sessions: its session store.
        duration: seconds that they take.
    """

    def __init__(self, stack: NativeTarget, sessions: RedisServer, duration: float) -> None:
        self._stack = stack
        self._sessions = sessions
        self._began = time.monotonic()
        self._end = self._began + duration
        self._duration = duration

    def run(self) -> None:
        """Returns when all of it is over."""
        work: list[Callable[[], None]] = [*[self._mails] * CLIENTS, self._lines, self._visitors, self._mishaps]
        threads = [threading.Thread(target=task) for task in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _mails(self) -> None:
        """Some of every size, at a rate that ebbs and flows; now and then one that is refused."""
        sent = 0
        while self._goes_on():
            with contextlib.suppress(OSError, smtplib.SMTPException):
                send_mails(self._stack, 2)
                with smtplib.SMTP(self._stack.smtp.host, self._stack.smtp.port, timeout=10) as client:
                    client.sendmail("from@a.test", ["to@b.test", "too@b.test"], TEXT + "line\r\n" * 2 ** (sent % 14))
                    client.docmd("RCPT TO:<nobody@b.test>")
                sent += 1
            phase = (time.monotonic() - self._began) / TIDE
            self._rest(0.05 + 0.4 * (1 + math.cos(2 * math.pi * phase)))

    def _lines(self) -> None:
        while self._goes_on():
            with contextlib.suppress(OSError, AssertionError):
                say_lines(self._stack, 20)
            self._rest(0.2)

    def _visitors(self) -> None:
        """Connections that stay for a while, first more and then fewer."""
        held: list[socket.socket] = []
        address = self._stack.echo.host, self._stack.echo.port
        with contextlib.ExitStack() as stack:
            while self._goes_on():
                rising = time.monotonic() - self._began < self._duration / 2
                with contextlib.suppress(OSError):
                    if rising:
                        held.append(stack.enter_context(socket.create_connection(address, 10)))
                    elif held:
                        held.pop().close()
                self._rest(self._duration / 60)

    def _mishaps(self) -> None:
        """A worker is killed after a third of the time; after two thirds the session store is away for a moment."""
        self._rest(self._duration / 3)
        with contextlib.closing(RPC(self._stack.rpc_address)) as rpc:
            for worker in (Informer(rpc).workers("tcp") or [])[:1]:
                os.kill(worker.pid, signal.SIGKILL)
        self._rest(self._duration / 3)
        self._sessions.stop()
        self._rest(OUTAGE)
        self._sessions.start()

    def _goes_on(self) -> bool:
        return time.monotonic() < self._end

    def _rest(self, seconds: float) -> None:
        time.sleep(max(0.0, min(seconds, self._end - time.monotonic())))
