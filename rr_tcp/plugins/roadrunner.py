"""The server itself (rpc v5.1.9): its version and its configuration."""

from __future__ import annotations

from typing import Any

import msgspec

from rr_tcp.errors import CodecError
from rr_tcp.rpc import RPC, Codec


class RoadRunner:
    """The server.

    Both methods raise `RPCError` when the call fails and `CodecError` when the answer cannot be read.

    Args:
        rpc: the connection to RoadRunner.
    """

    def __init__(self, rpc: RPC) -> None:
        self._rpc = rpc

    def version(self) -> str:
        """The release, e.g. `2025.1.15`."""
        return self._rpc.call("rpc.Version", payload=True, answer=str)

    def config(self) -> dict[str, Any]:
        """The whole configuration, by section, as the server has read it: with every password. Never log it."""
        encoded = self._rpc.call("rpc.Config", b"", Codec.RAW)
        try:
            return msgspec.json.decode(encoded, type=dict[str, Any])
        except (ValueError, RecursionError) as error:
            raise CodecError("RoadRunner's answer to rpc.Config is no JSON object") from error
