"""Services that do to their worker what no service should."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from rr_tcp import App, Connection, NoEventError, Payload, Request, StatefulProtocol, TcpEvent, Worker
from rr_tcp.stores import open_store

ERROR_REPLY = b"Something went wrong\r\n"
NOISE = b"noise on stdout\n" * 1000

libc = ctypes.CDLL(None)


class Nothing(msgspec.Struct):
    """The services have no state, but it is loaded and saved all the same."""


class UnprintableError(Exception):
    def __str__(self) -> NoReturn:
        raise RuntimeError("no words for it")

    __repr__ = __str__


def prints() -> None:
    sys.stdout.write(NOISE.decode())
    sys.stdout.buffer.write(NOISE)


def writes() -> None:
    os.write(1, NOISE)


def writes_in_c() -> None:
    libc.puts(NOISE)
    libc.fflush(None)


def prints_in_a_thread() -> None:
    threads = [threading.Thread(target=work) for work in (prints, writes, writes_in_c)]
    for thread in threads:
        thread.start()
    threads[0].join()  # the others go on while this and the next events are answered


def answers_late() -> None:
    """A thread gets hold of the worker and answers whenever it can, for as long as this takes other clients' events."""
    worker = next(each for each in gc.get_objects() if type(each) is Worker)
    threading.Thread(target=_answer_late, args=(worker,)).start()


def _answer_late(worker: Worker) -> None:
    refused, sent, deadline = 0, 0, time.monotonic() + 1
    while time.monotonic() < deadline:
        try:
            worker.respond(Payload(b"stolen\n", b"WRITE"))
            sent += 1
        except NoEventError:
            refused += 1
    sys.stderr.write(f"late answers: {sent} sent, {refused > 100}\n")


def starts_an_endless_thread() -> None:
    threading.Thread(target=threading.Event().wait).start()


def closes_the_standard_files() -> None:
    for fd in range(3):
        os.close(fd)


def hangs() -> None:
    sys.stderr.write(f"hanging: {os.getpid()}\n")
    time.sleep(600)


def raises_unprintable() -> None:
    raise UnprintableError


def raises_much() -> None:
    raise RuntimeError("much" * 1_000_000)


def raises_surrogates() -> None:
    raise RuntimeError("\udcff\0")


def recurses() -> None:
    recurses()


def wants_all_memory() -> None:
    bytearray(2**62)


def raises(error: type[BaseException]) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def forks(in_child: Callable[[], object]) -> Callable[[], bytes | None]:
    """The child does as it is told, and then comes back; the parent answers with its exit code."""

    def work() -> bytes | None:
        if (pid := os.fork()) == 0:
            in_child()
            return b"from the child\n"
        return b"child ended with %d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    return work


def dies_with_a_living_child() -> None:
    if (pid := os.fork()) == 0:
        time.sleep(60)
        os._exit(0)
    Path(os.environ["CHILD_FILE"]).write_text(str(pid))
    os.kill(os.getpid(), signal.SIGKILL)


async def hangs_in_a_coroutine() -> None:
    sys.stderr.write(f"hanging: {os.getpid()}\n")
    await asyncio.sleep(600)


async def forks_in_a_coroutine() -> bytes | None:
    """The child goes on awaiting; the loop it was forked from is not its own."""
    if (pid := os.fork()) == 0:
        await asyncio.sleep(0)
        return b"from the child\n"
    code = os.waitstatus_to_exitcode((await asyncio.to_thread(os.waitpid, pid, 0))[1])
    return b"child ended with %d\n" % code


_tasks: set[asyncio.Task[None]] = set()


async def starts_an_endless_task() -> None:
    _tasks.add(asyncio.create_task(_never_cancelled()))


async def _never_cancelled() -> None:
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            sys.stderr.write("not now\n")


WORK: dict[str, Callable[[], Any]] = {
    work.__name__: work
    for work in (
        prints, writes, writes_in_c, prints_in_a_thread, answers_late, starts_an_endless_thread,
        closes_the_standard_files, hangs, raises_unprintable, raises_much, raises_surrogates, recurses,
        wants_all_memory, dies_with_a_living_child, hangs_in_a_coroutine, forks_in_a_coroutine,
        starts_an_endless_task,
    )
} | {
    "exits": lambda: sys.exit(3),
    "exits_at_once": lambda: os._exit(0),
    "raises_generator_exit": raises(GeneratorExit),
    "raises_keyboard_interrupt": raises(KeyboardInterrupt),
    "raises_cancelled": raises(asyncio.CancelledError),
    "forks_and_returns": forks(lambda: None),
    "forks_and_raises": forks(raises(RuntimeError)),
    "forks_and_exits": forks(lambda: sys.exit(3)),
    "forks_and_exits_at_once": forks(lambda: os._exit(7)),
}  # fmt: skip
"""What a line can ask for. A result is the reply; without one it is `done PID`."""


def _reply(result: bytes | None) -> bytes:
    return b"done %d\n" % os.getpid() if result is None else result


class UnsafeProtocol(StatefulProtocol[Nothing]):
    """Does what the line says, or echoes it."""

    state_type = Nothing
    error_reply = ERROR_REPLY

    def data_received(self, connection: Connection[Nothing], data: bytes) -> Awaitable[None] | None:
        if (work := WORK.get(data.decode().strip())) is None:
            connection.write(data)
            return None
        result = work()
        if asyncio.iscoroutine(result):
            return self._finish(connection, result)
        connection.write(_reply(result))
        return None

    async def _finish(self, connection: Connection[Nothing], result: Awaitable[bytes | None]) -> None:
        connection.write(_reply(await result))


def build_app() -> App:
    app = App(store=open_store("rrkv://sessions", rpc_address=os.environ["RR_RPC"]))
    app.add("unsafe", UnsafeProtocol())

    @app.on("function", error_reply=ERROR_REPLY)
    def function(request: Request) -> bytes | None:
        if request.event is not TcpEvent.DATA:
            return None
        work = WORK.get(request.body.decode().strip())
        return _reply(work()) if work else request.body

    return app
