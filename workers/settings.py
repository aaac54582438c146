"""Settings that all workers share, from the environment; `.env.example` describes them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rr_tcp import App, ConfigurationError, Environment
from rr_tcp.app import SESSION_TTL
from rr_tcp.sessions import MAX_TTL, MIN_TTL
from rr_tcp.stores import open_store

_SHM = Path("/dev/shm")  # noqa: S108 - anybody may write here; the store refuses a directory that is not ours alone


def default_session_store() -> str:
    """LMDB in shared memory where the system has it: what it holds is worth nothing after a reboot."""
    root = _SHM if _SHM.is_dir() else Path(tempfile.gettempdir())
    return f"lmdb://{root}/rr-tcp-{os.getuid()}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a worker needs to know of its surroundings.

    Attributes:
        session_store: URL of the session store: lmdb:///path, redis://host:port/db, rediss://, rrkv://storage.
        session_ttl: seconds that a connection's state lives without an event.
        rpc_address: where RoadRunner's RPC server listens.
    """

    session_store: str
    session_ttl: float
    rpc_address: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Reads SESSION_STORE, SESSION_TTL and RoadRunner's own variables."""
        ttl = env.get("SESSION_TTL") or f"{SESSION_TTL:g}"
        if not (ttl.isascii() and ttl.isdecimal()) or not MIN_TTL <= int(ttl) <= MAX_TTL:
            raise ConfigurationError(
                f"SESSION_TTL is {ttl!r}: give whole seconds from {MIN_TTL:g} to {MAX_TTL:.0f}, e.g. {SESSION_TTL:g}"
            )
        return cls(
            session_store=env.get("SESSION_STORE") or default_session_store(),
            session_ttl=float(ttl),
            rpc_address=Environment.from_env(env).rpc_address,
        )


def new_app(env: Mapping[str, str]) -> App:
    """An App without services, on the session store that the environment names."""
    settings = Settings.from_env(env)
    store = open_store(settings.session_store, rpc_address=settings.rpc_address)
    return App(store=store, session_ttl=settings.session_ttl)
