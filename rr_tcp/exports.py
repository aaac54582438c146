"""The names that `from rr_tcp import ...` knows, and where each is defined."""

from rr_tcp.access import AccessRules
from rr_tcp.admission import Admission
from rr_tcp.app import App
from rr_tcp.connection import Connection
from rr_tcp.environment import Environment
from rr_tcp.errors import (
    CodecError,
    ConfigurationError,
    EventCutShortError,
    FrameError,
    HandlerError,
    HandshakeError,
    NoEventError,
    RedisCallError,
    RedisFullError,
    RedisLineError,
    RedisRefusedError,
    RelayError,
    ResponseTooLargeError,
    RPCError,
    RPCServiceError,
    RPCTransportError,
    RRTcpError,
    ScanUnsupportedError,
    SessionDataError,
    SessionError,
    SessionStoreError,
    SessionTooLargeError,
    TransportError,
    UnexpectedPayloadError,
    WorkerError,
)
from rr_tcp.events import Request, TcpEvent
from rr_tcp.limits import ClientLimits, ConnectionLimits
from rr_tcp.line_protocol import LineProtocol, LineState
from rr_tcp.logs import log_to_stderr
from rr_tcp.observability import Distribution, EventMetrics, Reporter
from rr_tcp.plugins.collectors import Counter
from rr_tcp.responses import Response, TcpResponse
from rr_tcp.sessions import SessionStore, StoredSession
from rr_tcp.stateful import StatefulProtocol
from rr_tcp.tcp_worker import TcpWorker
from rr_tcp.worker import Payload, Worker

__all__ = [
    "AccessRules",
    "Admission",
    "App",
    "ClientLimits",
    "CodecError",
    "ConfigurationError",
    "Connection",
    "ConnectionLimits",
    "Counter",
    "Distribution",
    "Environment",
    "EventCutShortError",
    "EventMetrics",
    "FrameError",
    "HandlerError",
    "HandshakeError",
    "LineProtocol",
    "LineState",
    "NoEventError",
    "Payload",
    "RPCError",
    "RPCServiceError",
    "RPCTransportError",
    "RRTcpError",
    "RedisCallError",
    "RedisFullError",
    "RedisLineError",
    "RedisRefusedError",
    "RelayError",
    "Reporter",
    "Request",
    "Response",
    "ResponseTooLargeError",
    "ScanUnsupportedError",
    "SessionDataError",
    "SessionError",
    "SessionStore",
    "SessionStoreError",
    "SessionTooLargeError",
    "StatefulProtocol",
    "StoredSession",
    "TcpEvent",
    "TcpResponse",
    "TcpWorker",
    "TransportError",
    "UnexpectedPayloadError",
    "Worker",
    "WorkerError",
    "log_to_stderr",
]
