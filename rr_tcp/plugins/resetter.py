"""RoadRunner's resetter (resetter v5.1.9): replaces a plugin's workers, as `rr reset` does."""

from __future__ import annotations

from rr_tcp.rpc import RPC


class Resetter:
    """Every method raises `RPCError` when the call fails and `CodecError` when the answer cannot be read.

    Args:
        rpc: the connection to RoadRunner.
    """

    def __init__(self, rpc: RPC) -> None:
        self._rpc = rpc

    def plugins(self) -> list[str]:
        """The plugins that can be reset, in alphabetical order."""
        return sorted(self._rpc.call("resetter.List", payload=True, answer=list[str]))

    def reset(self, plugin: str) -> None:
        """Replaces all workers of a plugin, and returns when the new ones are ready.

        Of the TCP plugin, connections stay open and go on in the new workers. No event is handled from the call on
        until the events that are being handled have ended and the new workers have started, one second at least.

        The client needs a timeout above that time (`pool.reset_timeout` and `pool.allocate_timeout` bound it), and
        must not be one of the plugin's own workers in an event, for whose end the reset would wait.

        Args:
            plugin: its name, e.g. `tcp`.

        Raises:
            RPCServiceError: no such plugin, or the new workers did not start.
            RPCTransportError: also when it took longer than the client's timeout; the reset goes on.
        """
        self._rpc.call("resetter.Reset", plugin)
