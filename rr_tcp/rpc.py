"""Calls to RoadRunner's RPC server (rpc plugin v5.1.9), on goridge v3 frames.

A call is one frame: codec flag, two options (sequence number, length of the method's name), then method and argument.
The answer has the same sequence number and repeats the method; with the ERROR flag its body is the error's text.
"""

from __future__ import annotations

import enum
from typing import Any, Final, Literal, overload

import msgspec

from rr_tcp.errors import CodecError, ConfigurationError, RPCServiceError, RPCTransportError, TransportError
from rr_tcp.frame import Flag, Frame
from rr_tcp.relay import Relay, connect

DEFAULT_TIMEOUT: Final = 2.0
"""Seconds. RoadRunner answers from its memory; whoever waits longer holds an event, and the worker with it."""

_SEQUENCE_LIMIT: Final = 2**32


class Codec(enum.IntEnum):
    """How a call's argument and its answer are written. The value is the frame's flag."""

    JSON = Flag.JSON
    """Any JSON value; most of RoadRunner's plugins."""
    RAW = Flag.RAW
    """Bytes as they are; only methods whose Go type is `[]byte` take it."""
    PROTO = Flag.PROTO
    """An encoded Protocol Buffers message (`rr_tcp.protobuf`): kv, lock, status, jobs."""


class RPC:
    """A client of one RPC server: one call at a time, for one thread of one process.

    It connects at its first call. After a transport error the connection is dropped and the next call makes a new one;
    no call is repeated, since the one that failed may have been executed.

    Args:
        address: `tcp://host:port` or `unix://path`, RoadRunner's `rpc.listen` (a worker finds it in RR_RPC).
        timeout: seconds that connecting, sending, or waiting for a piece of the answer may take.
    """

    def __init__(self, address: str, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        if not address.startswith(("tcp://", "unix://")):
            raise ConfigurationError(
                f"{address!r} is no RPC address: use tcp://host:port or unix://path, as `rpc.listen` in .rr.yaml"
            )
        self._address = address
        self._timeout = timeout
        self._relay: Relay | None = None
        self._sequence = 0

    @overload
    def call(self, method: str, payload: object, codec: Literal[Codec.JSON] = Codec.JSON) -> Any: ...
    @overload
    def call(self, method: str, payload: bytes, codec: Literal[Codec.RAW, Codec.PROTO]) -> bytes: ...
    def call(self, method: str, payload: Any, codec: Codec = Codec.JSON) -> Any:
        """Calls a method and waits for its answer.

        Args:
            method: plugin and method, e.g. `informer.List`.
            payload: a JSON value for `Codec.JSON`, else bytes.
            codec: what the method takes.

        Returns:
            A JSON value for `Codec.JSON`, else bytes.

        Raises:
            RPCServiceError: RoadRunner answered with an error. The connection stays usable.
            RPCTransportError: no connection, a timeout, or an answer to another call. Whether the call was executed
                is unknown.
            CodecError: the argument or the answer is no JSON.
        """
        if codec is not Codec.JSON:
            return self._exchange(method, payload, codec)
        try:
            body = msgspec.json.encode(payload)
        except (TypeError, msgspec.MsgspecError) as error:
            raise CodecError(f"the argument of {method} is no JSON value: {error}") from error
        answer = self._exchange(method, body, codec)
        try:
            return msgspec.json.decode(answer)
        except msgspec.DecodeError as error:
            raise CodecError(f"RoadRunner's answer to {method} is no JSON: {error}") from error

    def close(self) -> None:
        """Drops the connection; a later call makes a new one."""
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.close()

    def _exchange(self, method: str, body: bytes, codec: Codec) -> bytes:
        name = method.encode()
        self._sequence = sequence = (self._sequence + 1) % _SEQUENCE_LIMIT
        try:
            if self._relay is None:
                self._relay = connect(self._address, timeout=self._timeout)
            self._relay.send(Frame(name + body, codec, (sequence, len(name))))
            answer = self._relay.receive()
        except TransportError as error:
            self.close()
            raise RPCTransportError(
                f"{method} at {self._address} failed: {error}. Is RoadRunner running, with this address as its "
                "`rpc.listen`?"
            ) from error
        if answer is None:
            self.close()
            raise RPCTransportError(
                f"RoadRunner closed the RPC connection to {self._address} instead of answering {method}"
            )
        if answer.options != (sequence, len(name)) or not answer.payload.startswith(name):
            self.close()
            raise RPCTransportError(
                f"{self._address} answered another call than {method}: is that RoadRunner's RPC server?"
            )
        result = answer.payload[len(name) :]
        if answer.flags & Flag.ERROR:
            raise RPCServiceError(f"{method}: {result.decode(errors='replace')}")
        return result
