"""Calls to RoadRunner's RPC server (rpc plugin v5.1.9), on goridge v3 frames.

A call is one frame: codec flag, two options (sequence number, length of the method's name), then method and argument.
The answer has the same sequence number and repeats the method; with the ERROR flag its body is the error's text.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TypeVar, overload

import msgspec

from rr_tcp.errors import CodecError, ConfigurationError, RPCServiceError, RPCTransportError, TransportError
from rr_tcp.frame import Flag, Frame
from rr_tcp.relay import Relay, connect

DEFAULT_TIMEOUT: Final = 2.0
"""Seconds. RoadRunner answers from its memory; whoever waits longer holds an event, and the worker with it."""

_SEQUENCE_LIMIT: Final = 2**32

T = TypeVar("T")


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

    @property
    def timeout(self) -> float:
        """Seconds that connecting, sending, or waiting for a piece of the answer may take."""
        return self._timeout

    @overload
    def call(self, method: str, payload: object, codec: Literal[Codec.JSON] = Codec.JSON) -> Any: ...
    @overload
    def call(self, method: str, payload: object, codec: Literal[Codec.JSON] = Codec.JSON, *, answer: type[T]) -> T: ...
    @overload
    def call(self, method: str, payload: bytes, codec: Literal[Codec.RAW, Codec.PROTO]) -> bytes: ...
    def call(self, method: str, payload: Any, codec: Codec = Codec.JSON, *, answer: Any = Any) -> Any:
        """Calls a method and waits for its answer.

        Args:
            method: plugin and method, e.g. `informer.List`.
            payload: a JSON value for `Codec.JSON`, else bytes.
            codec: what the method takes.
            answer: the type that the answer must have, for `Codec.JSON`; any JSON value by default.

        Returns:
            A JSON value for `Codec.JSON`, else bytes.

        Raises:
            RPCServiceError: RoadRunner answered with an error. The connection stays usable.
            RPCTransportError: no connection, a timeout, or an answer to another call. Whether the call was executed
                is unknown.
            CodecError: the argument is no JSON, or the answer is none, or not of the type.
        """
        body = payload if codec is not Codec.JSON else _encode(method, payload)
        (result,) = self.exchange([(method, body)], codec)
        if isinstance(result, RPCServiceError):
            raise result
        return result if codec is not Codec.JSON else _decode(method, result, answer)

    def call_many(self, calls: Iterable[tuple[str, object]]) -> list[Any | RPCServiceError]:
        """Makes calls that RoadRunner may execute in any order, and all at once, for about the time of one.

        Args:
            calls: methods and their arguments, JSON values.

        Returns:
            For each call in its place the answer, or the error with which RoadRunner answered.

        Raises:
            RPCTransportError: as of `call`. Which of the calls were executed is unknown.
            CodecError: an argument or an answer is no JSON.
        """
        encoded = [(method, _encode(method, payload)) for method, payload in calls]
        return [
            result if isinstance(result, RPCServiceError) else _decode(method, result, Any)
            for (method, _), result in zip(encoded, self.exchange(encoded, Codec.JSON), strict=True)
        ]

    def with_prefix(self, prefix: str) -> RPC:
        """A client of one plugin's methods, on the same connection.

        Args:
            prefix: the plugin; `rpc.with_prefix("informer").call("List", True)` calls `informer.List`.
        """
        return _PrefixedRPC(self, prefix)

    def close(self) -> None:
        """Drops the connection; a later call makes a new one."""
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.close()

    def exchange(self, calls: Sequence[tuple[str, bytes]], codec: Codec) -> list[bytes | RPCServiceError]:
        """Sends all calls, then takes their answers in the order in which they come.

        RoadRunner reads on while it answers, so that the two never wait for one another to read.

        Args:
            calls: methods and their encoded arguments.
            codec: how all of them are encoded.

        Returns:
            For each call in its place the encoded answer, or the error with which RoadRunner answered.

        Raises:
            RPCTransportError: as of `call`. Which of the calls were executed is unknown.
        """
        if not calls:
            return []
        methods = calls[0][0] if len(calls) == 1 else f"{calls[0][0]} and {len(calls) - 1} more calls"
        results: list[bytes | RPCServiceError] = [b""] * len(calls)
        waiting: dict[tuple[int, ...], int] = {}  # a call's options, which its answer repeats -> its index
        try:
            relay = self._relay = self._relay or connect(self._address, timeout=self._timeout)
            for index, (method, body) in enumerate(calls):
                name = method.encode()
                self._sequence = (self._sequence + 1) % _SEQUENCE_LIMIT
                options = (self._sequence, len(name))
                relay.send(Frame(name + body, codec, options))
                waiting[options] = index
            while waiting:
                answer = relay.receive()
                if answer is None:
                    self.close()
                    raise RPCTransportError(
                        f"RoadRunner closed the RPC connection to {self._address} instead of answering {methods}"
                    )
                index = waiting.pop(answer.options, -1)
                if index < 0 or not answer.payload.startswith(calls[index][0].encode()):
                    self.close()
                    raise RPCTransportError(
                        f"{self._address} answered another call than {methods}: is that RoadRunner's RPC server?"
                    )
                results[index] = _result(calls[index][0], answer)
        except TransportError as error:
            self.close()
            raise RPCTransportError(
                f"{methods} at {self._address} failed: {error}. Is RoadRunner running, with this address as its "
                "`rpc.listen`?"
            ) from error
        return results


class _PrefixedRPC(RPC):
    """Puts a plugin's name before the methods, and leaves the rest to the client it was made from."""

    def __init__(self, rpc: RPC, prefix: str) -> None:
        self._rpc = rpc
        self._prefix = prefix
        self._timeout = rpc.timeout

    def close(self) -> None:
        self._rpc.close()

    def exchange(self, calls: Sequence[tuple[str, bytes]], codec: Codec) -> list[bytes | RPCServiceError]:
        return self._rpc.exchange([(f"{self._prefix}.{method}", body) for method, body in calls], codec)


def _result(method: str, answer: Frame) -> bytes | RPCServiceError:
    result = answer.payload[len(method.encode()) :]
    if answer.flags & Flag.ERROR:
        return RPCServiceError(f"{method}: {result.decode(errors='replace')}")
    return result


def _encode(method: str, payload: object) -> bytes:
    try:
        return msgspec.json.encode(payload)
    except (TypeError, ValueError) as error:  # ValueError: also text that has no UTF-8 form
        raise CodecError(f"the argument of {method} is no JSON value: {error}") from error


def _decode(method: str, answer: bytes, expected: Any) -> Any:
    try:
        return msgspec.json.decode(answer, type=expected)
    except msgspec.ValidationError as error:
        raise CodecError(f"RoadRunner's answer to {method} is not of the expected form: {error}") from error
    except (ValueError, RecursionError) as error:  # ValueError: also text that is no UTF-8
        raise CodecError(f"RoadRunner's answer to {method} is no JSON: {error}") from error
