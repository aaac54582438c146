"""What RoadRunner tells its workers in the environment (server plugin v5.2.10)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from rr_tcp.relay import PIPES


@dataclass(frozen=True, slots=True)
class Environment:
    """RoadRunner's variables, with the defaults of the official SDKs.

    Attributes:
        mode: the plugin that started the worker, `tcp` for us; empty when RoadRunner did not start it.
        relay_address: `pipes`, `tcp://host:port` or `unix://path`.
        rpc_address: where RoadRunner's RPC server listens; RoadRunner tells it only if `rpc.listen` is configured.
        version: RoadRunner's version.
    """

    mode: str = ""
    relay_address: str = PIPES
    rpc_address: str = "tcp://127.0.0.1:6001"
    version: str = ""

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Environment:
        """Reads RR_MODE, RR_RELAY, RR_RPC and RR_VERSION."""
        default = cls()
        return cls(
            mode=env.get("RR_MODE", ""),
            relay_address=env.get("RR_RELAY") or default.relay_address,
            rpc_address=env.get("RR_RPC") or default.rpc_address,
            version=env.get("RR_VERSION", ""),
        )
