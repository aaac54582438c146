"""A RoadRunner worker of any plugin: handshake, payloads in, exactly one answer out for each, stop."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from rr_tcp.environment import Environment
from rr_tcp.errors import HandshakeError, NoEventError, UnexpectedPayloadError
from rr_tcp.frame import Flag, Frame
from rr_tcp.relay import Relay, connect

log = logging.getLogger(__name__)

_STOP_CONTEXT = b'{"stop":true}'  # compared byte by byte by RoadRunner: no spaces


class _Control(msgspec.Struct):
    """Payload of a CONTROL frame from RoadRunner: one of the two."""

    pid: int = 0
    stop: bool = False


@dataclass(frozen=True, slots=True)
class Payload:
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
    and asking for the next payload answers a forgotten one with an error.

    Args:
        relay: where the frames travel.
        pid: what the handshake tells RoadRunner; it must be the pid of the process that RoadRunner started.
    """

    def __init__(self, relay: Relay, *, pid: int | None = None) -> None:
        self._relay = relay
        self._pid = os.getpid() if pid is None else pid
        self._waiting = False
        self._stopped = False

    @classmethod
    def create(cls) -> Worker:
        """The worker that this process's environment describes. Call it before user code is imported."""
        return cls.from_env(os.environ)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Worker:
        """The worker that RR_RELAY describes; with pipes, stdin and stdout are taken over (`PipeRelay.from_stdio`)."""
        return cls(connect(Environment.from_env(env).relay_address))

    @property
    def answer_due(self) -> bool:
        """Whether a payload was received and not answered yet."""
        return self._waiting

    def wait_payload(self) -> Payload | None:
        """The next payload, or None when RoadRunner told the worker to stop or is gone.

        Raises:
            TransportError: the relay broke or carries no frames.
            UnexpectedPayloadError: a frame of a kind that workers do not get.
        """
        if self._waiting:
            log.error("an event was not answered; RoadRunner is told that it failed")
            self.error("the worker did not answer")
        while not self._stopped:
            frame = self._relay.receive()
            if frame is None:
                self._stopped = True
            elif frame.flags & Flag.CONTROL:
                self._control(frame)
            else:
                payload = _split(frame)
                self._waiting = True
                return payload
        return None

    def respond(self, payload: Payload) -> None:
        """Answers the payload that was received last."""
        self._answer(Frame(payload.context + payload.body, options=(len(payload.context),)))

    def error(self, message: str) -> None:
        """Answers that handling the payload failed. The TCP plugin closes the connection; the worker lives on."""
        self._answer(Frame(message.encode(), Flag.ERROR))

    def stop(self) -> None:
        """Answers that this worker wants to end. RoadRunner replaces it and gives the *same payload* to another worker.

        Never after a side effect: it would happen twice.
        """
        self.respond(Payload(b"", _STOP_CONTEXT))

    def close(self) -> None:
        """Ends the line to RoadRunner."""
        self._relay.close()

    def _answer(self, frame: Frame) -> None:
        if not self._waiting:
            raise NoEventError(
                "no event waits for an answer: each event gets exactly one, whether it is respond, read, close, error "
                "or stop"
            )
        self._relay.send(frame)  # when this raises, nothing or part of a frame left: the answer is still due
        self._waiting = False

    def _control(self, frame: Frame) -> None:
        try:
            control = msgspec.json.decode(frame.payload, type=_Control)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HandshakeError(f"RoadRunner sent an unreadable control frame: {error}") from error
        if control.stop:
            self._stopped = True
        elif control.pid:
            self._relay.send(Frame(b'{"pid":%d}' % self._pid, Flag.CONTROL | Flag.JSON))
        else:
            raise HandshakeError(f"RoadRunner sent an unknown control frame: {frame.payload[:80]!r}")


def _split(frame: Frame) -> Payload:
    if len(frame.options) != 1 or frame.options[0] > len(frame.payload):
        raise UnexpectedPayloadError(
            f"a payload for a worker has one option, the length of its context; this frame has {frame.options} "
            f"for {len(frame.payload)} bytes"
        )
    size = frame.options[0]
    return Payload(frame.payload[size:], frame.payload[:size])
