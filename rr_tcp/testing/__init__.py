"""For tests of services and of the SDK: fakes at the level of frames and sessions, and the real server."""

from rr_tcp.testing.driver import ConnectionDriver, cuts
from rr_tcp.testing.relay import FakeRelay, event_frame
from rr_tcp.testing.server import free_ports, roadrunner
from rr_tcp.testing.store import MemorySessionStore

__all__ = [
    "ConnectionDriver",
    "FakeRelay",
    "MemorySessionStore",
    "cuts",
    "event_frame",
    "free_ports",
    "roadrunner",
]
