"""RoadRunner's TCP plugin (tcp v5.1.9) from outside of an event: its one method closes a connection."""

from __future__ import annotations

from typing import Final

from rr_tcp.errors import RPCServiceError
from rr_tcp.rpc import RPC

_CLOSED_ALREADY: Final = "use of closed network connection"
"""The text of Go's net.ErrClosed, which the Go library promises to keep."""


class TcpConnections:
    """The connections of all servers, by the uuid that their events carry.

    Args:
        rpc: the connection to RoadRunner.
    """

    def __init__(self, rpc: RPC) -> None:
        self._rpc = rpc

    def close(self, uuid: str) -> None:
        """Closes a connection; what it was sent already still reaches the client, and a worker gets its CLOSE event.

        One that is closed already, or that nobody knows, is no error: RoadRunner gives the same answer as for an open
        one, or says that it was closed while a worker has not yet answered its CLOSE event.

        Args:
            uuid: of the connection (`Request.connection_uuid`).

        Raises:
            RPCError: the call failed.
        """
        try:
            self._rpc.call("tcp.Close", uuid)
        except RPCServiceError as error:
            if _CLOSED_ALREADY not in str(error):
                raise
