"""The pool's exporter where RoadRunner does not answer every call; what it tells of a real pool: tests/integration."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

import pytest

from rr_tcp.errors import RPCServiceError, RPCTransportError, ServerError
from rr_tcp.observability.pool import OBSERVED, OPEN_CONNECTIONS, POOL_MEMORY, POOL_WORKERS, PoolExporter
from rr_tcp.rpc import Codec
from rr_tcp.testing import free_ports
from tests.rr_tcp.observability.page import Page


class Starting(Page):
    """A server that tells its configuration, and does not listen yet.

    Attributes:
        address: of its one listener.
    """

    address = "unix:///run/echo.sock"

    def exchange(self, calls: Sequence[tuple[str, bytes]], codec: Codec) -> list[bytes | RPCServiceError]:
        if codec is Codec.JSON:
            return super().exchange(calls, codec)
        assert calls == [("rpc.Config", b"")]
        return [b'{"tcp":{"servers":{"echo":{"addr":"%s"}}}}' % self.address.encode()]


def test_gauges_that_could_not_be_declared_are_declared_the_next_time() -> None:
    page = Starting()
    page.address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    exporter = PoolExporter(page, server=os.getpid())
    page.failure = RPCTransportError("not yet")
    with pytest.raises(RPCTransportError):
        exporter.export()
    page.failure = None
    assert not exporter.export(), "nobody listens"
    assert page.declared == [gauge.name for gauge in (POOL_WORKERS, POOL_MEMORY, OPEN_CONNECTIONS, OBSERVED)]


def test_a_server_without_ports_is_said_to_be_one() -> None:
    with pytest.raises(ServerError, match="no listener with a port"):
        PoolExporter(Starting(), server=os.getpid()).export()


def test_a_system_that_does_not_tell_of_the_servers_sockets_is_said_to_be_one() -> None:
    page = Starting()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        page.address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ServerError, match="process 0 cannot be listed"):
            PoolExporter(page, server=0).export()
