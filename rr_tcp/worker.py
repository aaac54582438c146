"""A RoadRunner worker of any plugin: handshake, payloads in, exactly one answer out for each, stop."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from threading import get_ident

import msgspec

from rr_tcp import process
from rr_tcp.environment import Environment
from rr_tcp.errors import FrameError, HandshakeError, NoEventError, UnexpectedPayloadError
from rr_tcp.frame import Flag, Frame
from rr_tcp.relay import Relay, connect

log = logging.getLogger(__name__)

_STOP_CONTEXT = b'{"stop":true}'  # compared byte by byte by RoadRunner: no spaces


class _Control(msgspec.Struct):
    """Payload of a CONTROL frame from RoadRunner: one of the two."""

    pid: int = 0
    stop: bool = False


class Payload(msgspec.Struct, frozen=True, gc=False):
    """What RoadRunner asks and a worker answers.

    Attributes:
        body: the content.
        context: what the plugin says about it; JSON from RoadRunner, a bare word to the TCP plugin.
    """

    body: bytes
    context: bytes = b""


class Worker:
    """One worker process's line to RoadRunner.

    RoadRunner wants one frame per payload, and an additional one shifts every later answer of the process onto other
    clients' connections (v2025.1.15). So an answer that no payload waits for raises `NoEventError` and is not sent,
    and asking for the next payload answers a forgotten one with an error. Only the thread that took a payload can
    answer it: another thread's answer could be late, and would go to the next client.

    Args:
        relay: where the frames travel.
        pid: what the handshake tells RoadRunner; it must be the pid of the process that RoadRunner started.
    """

    def __init__(self, relay: Relay, *, pid: int | None = None) -> None:
        self._relay = relay
        self._pid = os.getpid() if pid is None else pid
        self._asked: int | None = None  # the thread whose answer is due
        self._stopped = False
        self._owns_process = False

    @classmethod
    def create(cls) -> Worker:
        """The worker that this process's environment describes. Call it before user code is imported."""
        return cls.from_env(os.environ)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Worker:
        """The worker that RR_RELAY describes: this process, which from now on is nothing else.

        With pipes, stdin and stdout are taken over (`PipeRelay.from_stdio`). SIGINT ends the process at once, as
        SIGTERM does; RoadRunner replaces it. When RoadRunner tells it to stop or is gone, it has
        `process.END_TIMEOUT` seconds until it is ended.
        """
        process.prepare()
        worker = cls(connect(Environment.from_env(env).relay_address))
        worker._owns_process = True
        return worker

    @property
    def answer_due(self) -> bool:
        """Whether a payload was received and not answered yet."""
        return self._asked is not None

    def wait_payload(self) -> Payload | None:
        """The next payload, or None when RoadRunner told the worker to stop or is gone.

        Raises:
            TransportError: the relay broke or carries no frames.
            UnexpectedPayloadError: a frame of a kind that workers do not get.
        """
        if self._asked is not None:
            log.error("an event was not answered; RoadRunner is told that it failed")
            self.error("the worker did not answer")
        while not self._stopped:
            frame = self._relay.receive()
            if frame is None:
                self.stopping()
            elif frame.flags & Flag.CONTROL:
                self._control(frame)
            else:
                payload = _split(frame)
                self._asked = get_ident()
                return payload
        return None

    def stopping(self) -> None:
        """Takes no further payload. A process that is nothing but this worker has to end within a limited time."""
        self._stopped = True
        if self._owns_process:
            process.limit_end()

    def respond(self, payload: Payload) -> None:
        """Answers the payload that was received last."""
        self._answer(Frame(payload.context + payload.body, options=(len(payload.context),)))

    def error(self, message: str) -> None:
        """Answers that handling the payload failed. The TCP plugin closes the connection; the worker lives on."""
        self._answer(Frame(message.encode(errors="backslashreplace"), Flag.ERROR))

    def stop(self) -> None:
        """Answers that this worker wants to end. RoadRunner replaces it and gives the *same payload* to another worker.

        Never after a side effect: it would happen twice.
        """
        self.respond(Payload(b"", _STOP_CONTEXT))

    def close(self) -> None:
        """Ends the line to RoadRunner."""
        self._relay.close()

    def _answer(self, frame: Frame) -> None:
        if self._asked != get_ident():
            raise NoEventError(
                "no event waits for an answer from this thread: each event gets exactly one, whether it is respond, "
                "read, close, error or stop, from the thread that took it"
            )
        self._asked = None  # first: whatever interrupts the sending, there is no second answer
        try:
            self._relay.send(frame)
        except FrameError:  # it cannot be encoded, so nothing left: another answer is still due
            self._asked = get_ident()
            raise

    def _control(self, frame: Frame) -> None:
        try:
            control = msgspec.json.decode(frame.payload, type=_Control)
        except (ValueError, RecursionError) as error:  # ValueError: no JSON, no UTF-8, or of another form
            raise HandshakeError(f"RoadRunner sent an unreadable control frame: {error}") from error
        if control.stop:
            self.stopping()
        elif control.pid:
            self._relay.send(Frame(b'{"pid":%d}' % self._pid, Flag.CONTROL | Flag.JSON))
        else:
            raise HandshakeError(f"RoadRunner sent an unknown control frame: {frame.payload[:80]!r}")


def _split(frame: Frame) -> Payload:
    if frame.tail:
        return Payload(frame.tail, frame.payload)
    if len(frame.options) != 1 or frame.options[0] > len(frame.payload):
        raise UnexpectedPayloadError(
            f"a payload for a worker has one option, the length of its context; this frame has {frame.options} "
            f"for {len(frame.payload)} bytes"
        )
    size = frame.options[0]
    return Payload(frame.payload[size:], frame.payload[:size])
