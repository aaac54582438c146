"""Every error that `rr_tcp` raises, in one tree.

    RRTcpError
    ├── ConfigurationError        a setting or the worker's environment is unusable
    ├── TransportError            the line to RoadRunner
    │   ├── FrameError            bytes that are no goridge v3 frame
    │   └── RelayError            the relay cannot be opened, broke, or ended in mid-frame
    ├── CodecError                bytes that a codec cannot read, or a value that it cannot write
    ├── WorkerError               a rule between RoadRunner and its worker was broken
    │   ├── HandshakeError        a control frame that is neither the question for the pid nor the order to stop
    │   ├── NoEventError          an answer, but no event waits for one (the second answer to an event)
    │   └── UnexpectedPayloadError  a frame that no TCP worker can understand
    ├── RPCError                  a call to RoadRunner's RPC server
    │   ├── RPCTransportError     no connection, a timeout, an answer to another call
    │   ├── RPCServiceError       RoadRunner answered with an error
    │   └── MetricsLostError      values of a batch of metrics that never got to the page
    ├── RedisCallError            a call to a Redis server
    │   ├── RedisLineError        no connection, or no answer: the call may have been run
    │   ├── RedisFullError        the server has no memory left
    │   └── RedisRefusedError     the server answered with another error
    ├── LockNotAcquiredError      somebody else held the resource for the whole wait
    ├── LockLostError             a lock ended before its holder released it
    ├── HandlerError              a service broke a limit of `App`
    │   └── ResponseTooLargeError
    ├── ProxyHeaderError          a connection does not begin with the PROXY header that its listener asks for
    ├── ProbeError                a service does not answer as a healthy one does
    ├── ServerError               a server that was started ended, or does not serve
    └── SessionError              the state of a connection
        ├── SessionStoreError     the store is unreachable, full or refused the call
        │   └── ScanUnsupportedError  it cannot list its sessions
        ├── EventCutShortError    any of these, after some of an event was done, with the replies to that
        ├── SessionDataError      what was stored is damaged or of an unknown form, or has no form that can be stored
        └── SessionTooLargeError  a state over the limit of `App`

An error that happens while an event is handled ends in `App`, with the connection it happened on, and is logged there.
"""

from __future__ import annotations


class RRTcpError(Exception):
    """Base of every error of this package."""


class ConfigurationError(RRTcpError):
    """A setting or the worker's environment is unusable; the message says which and what is accepted."""


class TransportError(RRTcpError):
    """The line to RoadRunner failed."""


class FrameError(TransportError):
    """Bytes that are no goridge v3 frame: wrong version, header length, checksum, or over the size limit."""


class RelayError(TransportError):
    """The relay cannot be opened, broke, or ended in the middle of a frame."""


class CodecError(RRTcpError):
    """Bytes that a codec cannot read, or a value that it cannot write."""


class WorkerError(RRTcpError):
    """A rule between RoadRunner and its worker was broken."""


class HandshakeError(WorkerError):
    """RoadRunner sent a control frame that is neither the question for the worker's pid nor the order to stop."""


class NoEventError(WorkerError):
    """An answer was given while no event waits for one.

    A second frame for one event would shift every later answer of the worker by one, onto other clients' connections
    (RoadRunner v2025.1.15), so it is refused here and never sent.
    """


class UnexpectedPayloadError(WorkerError):
    """RoadRunner sent something that is no TCP event (another plugin's worker, or an unknown context)."""


class RPCError(RRTcpError):
    """A call to RoadRunner's RPC server failed."""


class RPCTransportError(RPCError):
    """The RPC server could not be reached, did not answer in time, or answered another call."""


class RPCServiceError(RPCError):
    """RoadRunner executed the call and answered with an error, whose text is the message."""


class MetricsLostError(RPCError):
    """Values of a batch of metrics did not get to the page, and never will; the message tells how many and why."""


class RedisCallError(RRTcpError):
    """A call to a Redis server failed; the message is its reply, or the driver's, and has no data of the call."""


class RedisLineError(RedisCallError):
    """The server cannot be reached, did not answer in time, or cannot serve now; the call may have been run."""


class RedisFullError(RedisCallError):
    """The server has no memory left, and nothing was changed."""


class RedisRefusedError(RedisCallError):
    """The server answered with an error."""


class LockNotAcquiredError(RRTcpError):
    """Somebody else held the resource for the whole wait."""


class LockLostError(RRTcpError):
    """A lock ended before its holder released it: somebody else may have held the resource at the same time."""


class HandlerError(RRTcpError):
    """A service broke a rule of `App`."""


class ResponseTooLargeError(HandlerError):
    """The replies to one event are over `App`'s limit."""


class ProxyHeaderError(RRTcpError):
    """A connection does not begin with the PROXY header (version 1) that its listener asks for."""


class ProbeError(RRTcpError):
    """A service does not answer as a healthy one does; the message says what it did."""


class ServerError(RRTcpError):
    """A RoadRunner server that was started ended by itself, or does not serve."""


class SessionError(RRTcpError):
    """The state of a connection cannot be used."""


class SessionStoreError(SessionError):
    """The session store is unreachable, full, or refused the call; whether the call was applied is unknown."""


class ScanUnsupportedError(SessionStoreError):
    """The session store has no way to list its sessions, so nobody can look for those that are idle."""


class EventCutShortError(SessionError):
    """The session failed when an event was handled, or some of it: what was done is done, and the connection is over.

    `App` raises it when it cannot save what an event changed. A protocol that does things for good, such as to store a
    mail, raises it when its bulk data fails in the middle of an event, so that the client knows what was done before.

    Attributes:
        replies: to what was done; they leave before the error reply.
    """

    def __init__(self, message: str, replies: bytes) -> None:
        super().__init__(message)
        self.replies = replies


class SessionDataError(SessionError):
    """Stored data is damaged, incomplete, or not of the form that this version writes; or a state cannot be stored."""


class SessionTooLargeError(SessionError):
    """The state of a connection is over `App`'s limit."""
