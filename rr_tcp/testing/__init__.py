"""For tests of services and of the SDK: fakes at the level of frames and sessions, and the real server."""

from rr_tcp.server import find_server
from rr_tcp.testing.driver import ConnectionDriver
from rr_tcp.testing.relay import FakeRelay, event_frame
from rr_tcp.testing.server import ServedApp, free_ports, roadrunner, serve_app
from rr_tcp.testing.splits import check_any_split, cuts
from rr_tcp.testing.store import MemorySessionStore

__all__ = [
    "ConnectionDriver",
    "FakeRelay",
    "MemorySessionStore",
    "ServedApp",
    "check_any_split",
    "cuts",
    "event_frame",
    "find_server",
    "free_ports",
    "roadrunner",
    "serve_app",
]
