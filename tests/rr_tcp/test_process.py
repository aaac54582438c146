"""One answer per event, from one thread of one process, whatever user code does to the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rr_tcp import App, HandshakeError, NoEventError, Payload, RelayError, TcpWorker, UnexpectedPayloadError, Worker
from rr_tcp.errors import SessionDataError
from rr_tcp.frame import Flag, Frame
from rr_tcp.process import END_TIMEOUT
from rr_tcp.relay import PipeRelay
from rr_tcp.sessions import StateCodec
from rr_tcp.testing import FakeRelay, event_frame
from services.echo.protocol import EchoState

DATA = event_frame("DATA", b"x\n")
DEEP = b"[" * 100_000  # deeper than any stack


class AlarmError(Exception):
    """What a signal handler of a service may raise, anywhere."""


@contextmanager
def interruption_after(seconds: float) -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise AlarmError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_nothing_follows_a_frame_that_left_in_part() -> None:
    """Whatever came next would be read as the rest of it."""
    read_fd, write_fd = os.pipe()
    with closing(PipeRelay(os.open(os.devnull, os.O_RDONLY), write_fd)) as relay:
        with pytest.raises(AlarmError), interruption_after(0.05):
            relay.send(Frame(bytes(1_000_000)))  # over the pipe's buffer, which nobody reads
        with pytest.raises(RelayError):
            relay.send(Frame(b"next"))
    with open(read_fd, "rb") as received:  # noqa: PTH123 - a file descriptor has no path
        assert len(received.read()) < 1_000_000


def test_an_interrupted_answer_is_never_given_again() -> None:
    class Interrupted(FakeRelay):
        def send(self, frame: Frame) -> None:
            super().send(frame)
            raise AlarmError

    relay = Interrupted([DATA])
    worker = TcpWorker(Worker(relay))
    worker.wait_request()
    with pytest.raises(AlarmError):
        worker.read()
    with pytest.raises(NoEventError):
        worker.close()
    assert len(relay.sent) == 1


def test_only_the_thread_that_took_an_event_can_answer_it() -> None:
    relay = FakeRelay([DATA])
    worker = Worker(relay)
    worker.wait_payload()
    refused: list[Exception] = []

    def answer() -> None:
        try:
            worker.respond(Payload(b"late", b"WRITE"))
        except NoEventError as error:
            refused.append(error)

    thread = threading.Thread(target=answer)
    thread.start()
    thread.join()
    assert len(refused) == 1
    assert worker.answer_due
    worker.respond(Payload(b"own", b"WRITE"))
    assert [frame.payload for frame in relay.sent] == [b"WRITEown"]


def test_an_error_message_of_any_text_is_sent() -> None:
    relay = FakeRelay([DATA])
    worker = Worker(relay)
    worker.wait_payload()
    worker.error("no file \udcff")
    assert relay.sent == [Frame(rb"no file \udcff", Flag.ERROR)]


@pytest.mark.parametrize(
    ("error", "read"),
    [
        (HandshakeError, lambda: Worker(FakeRelay([Frame(b'{"x":' + DEEP, Flag.CONTROL)])).wait_payload()),
        (
            UnexpectedPayloadError,
            lambda: TcpWorker(Worker(FakeRelay([Frame(b'{"x":' + DEEP, options=(100_005,))]))).wait_request(),
        ),
        (SessionDataError, lambda: StateCodec(EchoState).decode(b"\x81\xa1x" + b"\x91" * 100_000)),
    ],
)
def test_data_nested_deeper_than_the_stack_is_refused_as_any_other(
    error: type[Exception], read: Callable[[], object]
) -> None:
    with pytest.raises(error):
        read()


def test_closing_a_relay_again_closes_nothing_of_somebody_else() -> None:
    relay = PipeRelay(*os.pipe())
    relay.close()
    read_fd, write_fd = os.pipe()  # gets the same numbers
    relay.close()
    os.write(write_fd, b"x")
    assert os.read(read_fd, 1) == b"x"
    os.close(read_fd)
    os.close(write_fd)


SERVICE = """
import atexit, os, sys, threading
from rr_tcp import App
app = App()
@app.on("test")
def handle(request):
    match request.body:
        case b"fork":
            if os.fork() == 0:
                return b"from the child"
            os.wait()
            return b"from the parent"
        case b"hang":
            threading.Thread(target=threading.Event().wait, name="endless").start()
    return b"done"
app.on_shutdown(lambda: print("shutdown callback", flush=True))
atexit.register(lambda: print("atexit", flush=True))
"""


@pytest.fixture
def run_worker(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """A worker process between two pipes that is sent these DATA events, and then the end of the relay."""
    (tmp_path / "service.py").write_text(SERVICE)

    def run(*bodies: bytes) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "rr_tcp", "worker", f"{tmp_path}/service.py:app"],
            input=b"".join(event_frame("DATA", body).encode() for body in bodies),
            env={**os.environ, "RR_MODE": "tcp", "RR_RELAY": "pipes"},
            capture_output=True,
            check=False,
            timeout=END_TIMEOUT + 30,
        )

    return run


Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


def test_a_child_that_comes_back_writes_nothing_and_closes_nothing(run_worker: Run) -> None:
    done = run_worker(b"fork", b"then")
    assert done.returncode == 0
    answers = [Frame(b"WRITE" + body, options=(5,)).encode() for body in (b"from the parent", b"done")]
    assert done.stdout == b"".join(answers)
    assert done.stderr.count(b"came back out of the handler") == 1
    assert done.stderr.count(b"shutdown callback") == 1
    assert done.stderr.count(b"atexit") == 1


def test_a_worker_ends_with_the_relay_though_a_thread_goes_on(run_worker: Run) -> None:
    """After its callbacks, and with the place where the thread hangs in the log."""
    done = run_worker(b"hang")
    assert done.returncode == 1
    assert done.stderr.count(b"shutdown callback") == 1
    assert b"Timeout (0:00:05)!" in done.stderr
    assert b"threading.py" in done.stderr


def test_a_worker_without_such_a_thread_ends_in_order(run_worker: Run) -> None:
    done = run_worker(b"one", b"two")
    assert done.returncode == 0
    assert b"Timeout" not in done.stderr


def test_an_app_on_a_relay_of_a_test_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a worker that RoadRunner started owns its process: the limit would end the tests."""
    limited: list[bool] = []
    monkeypatch.setattr("rr_tcp.process.limit_end", lambda: limited.append(True))
    App().run(Worker(FakeRelay()))
    assert not limited
