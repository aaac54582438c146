"""Settings that all workers share, from the environment; `.env.example` describes them."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rr_tcp import (
    AccessRules,
    Admission,
    App,
    ClientLimits,
    ConfigurationError,
    ConnectionLimits,
    Environment,
    EventMetrics,
    Reporter,
    SessionStore,
)
from rr_tcp.app import SESSION_TTL
from rr_tcp.limits import MIN_LIMIT
from rr_tcp.reaper import GRACE, INTERVAL
from rr_tcp.rpc import RPC
from rr_tcp.sessions import MAX_TTL, MIN_TTL
from rr_tcp.stores import open_store

if TYPE_CHECKING:
    from rr_tcp.tracing import Tracing

IDLE_LIMIT: Final = 300
"""Seconds; what RFC 5321 4.5.3.2.7 asks an SMTP server to wait at least."""

AGE_LIMIT: Final = 86400
"""Seconds. Whoever keeps a connection for a day can open another one."""

_MOST: Final = 100_000
"""Connections of one client that can be counted; a host has 65,536 ports."""

_SHM = Path("/dev/shm")  # noqa: S108 - anybody may write here; the store refuses a directory that is not ours alone


def default_session_store(rpc_address: str) -> str:
    """LMDB in shared memory where the system has it: what it holds is worth nothing after a reboot.

    Each server has one of its own, as it has an RPC address: on a common one, the reaper of each would hold the other's
    connections to its own limits.
    """
    root = _SHM if _SHM.is_dir() else Path(tempfile.gettempdir())
    return f"lmdb://{root}/rr-tcp-{os.getuid()}-{re.split('[:/]', rpc_address)[-1]}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a worker needs to know of its surroundings.

    Attributes:
        session_store: URL of the session store: lmdb:///path, redis://host:port/db, rediss://, rrkv://storage.
        session_ttl: seconds that a connection's state lives without an event.
        rpc_address: where RoadRunner's RPC server listens.
        reaper_interval: seconds between two rounds of the reaper. RoadRunner hands it on, as it does `reaper_grace`.
        reaper_grace: seconds until the reaper removes the session of a connection that never reported its end.
        client_limits: how many connections a client may have; None for any number.
        metrics: whether events, stores and mails are counted.
        traces: whether spans of events are sent to an OpenTelemetry collector.
    """

    session_store: str
    session_ttl: float
    rpc_address: str
    reaper_interval: int
    reaper_grace: int
    client_limits: ClientLimits | None
    metrics: bool
    traces: bool

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Reads the variables that `.env.example` has for all services, and RoadRunner's own."""
        metrics = env.get("METRICS") or "1"
        if metrics not in {"0", "1"}:
            raise ConfigurationError(f"METRICS is {metrics!r}: give 1 to count events and mails, 0 not to")
        exporter = env.get("OTEL_TRACES_EXPORTER") or "none"
        if exporter not in {"none", "otlp"}:
            raise ConfigurationError(f"OTEL_TRACES_EXPORTER is {exporter!r}: give otlp to send spans, none not to")
        rpc_address, client_limits = Environment.from_env(env).rpc_address, _client_limits(env)
        session_store = env.get("SESSION_STORE") or default_session_store(rpc_address)
        if client_limits is not None and session_store.startswith("rrkv:"):
            raise ConfigurationError(
                "CLIENT_MAX_CONNECTIONS and CLIENT_MAX_PER_MINUTE need a SESSION_STORE that can count what several "
                "workers admit, lmdb://... or redis://...; RoadRunner KV cannot: set them to 0, or use another store"
            )
        return cls(
            session_store=session_store,
            session_ttl=float(_session_ttl(env)),
            rpc_address=rpc_address,
            reaper_interval=_seconds(env, "REAPER_INTERVAL", INTERVAL, least=1),
            reaper_grace=_seconds(env, "REAPER_GRACE", GRACE, least=1),
            client_limits=client_limits,
            metrics=metrics == "1",
            traces=exporter == "otlp",
        )


def connection_limits(env: Mapping[str, str], server: str) -> ConnectionLimits:
    """How long the connections of a server may stay: `<SERVER>_IDLE_LIMIT` and `<SERVER>_AGE_LIMIT`; 0 for no limit.

    Args:
        env: the variables.
        server: the name whose variables they are, e.g. `smtp`.
    """
    name = f"{server.upper()}_IDLE_LIMIT"
    idle = _seconds(env, name, IDLE_LIMIT, least=MIN_LIMIT, or_none=True)
    if env.get(name) and idle > (ttl := _session_ttl(env)):
        raise ConfigurationError(
            f"{name} is {idle}, more than SESSION_TTL, {ttl}, after which a silent connection has no state, and "
            "it is closed: raise SESSION_TTL, or lower this"
        )
    age = _seconds(env, f"{server.upper()}_AGE_LIMIT", AGE_LIMIT, least=MIN_LIMIT, or_none=True)
    return ConnectionLimits(idle=idle or None, age=age or None)


def _session_ttl(env: Mapping[str, str]) -> int:
    return _seconds(env, "SESSION_TTL", SESSION_TTL, least=MIN_TTL)


def _client_limits(env: Mapping[str, str]) -> ClientLimits | None:
    exempt = tuple(filter(None, map(str.strip, env.get("CLIENT_EXEMPT", "").split(","))))
    try:
        AccessRules(allow=exempt)
    except ConfigurationError as error:
        raise ConfigurationError(f"CLIENT_EXEMPT: {error}, with commas between them") from error
    connections = _whole(env, "CLIENT_MAX_CONNECTIONS", "the most open connections of one client")
    per_minute = _whole(env, "CLIENT_MAX_PER_MINUTE", "the most new connections of one client in a minute")
    if not connections and not per_minute:
        return None
    return ClientLimits(connections=connections or None, per_minute=per_minute or None, exempt=exempt)


def _whole(env: Mapping[str, str], name: str, what: str) -> int:
    """A setting that is a whole number; empty is 0."""
    value = env.get(name) or "0"
    if not (value.isascii() and value.isdecimal()) or int(value) > _MOST:
        raise ConfigurationError(f"{name} is {value!r:.100}: give {what}, up to {_MOST}, e.g. 50, or 0 for any number")
    return int(value)


def _seconds(env: Mapping[str, str], name: str, default: float, *, least: float, or_none: bool = False) -> int:
    """A setting in whole seconds; empty is unset. With `or_none`, 0 is allowed as well."""
    value = env.get(name) or f"{default:.0f}"
    number = int(value) if value.isascii() and value.isdecimal() and len(value) <= len(f"{MAX_TTL:.0f}") else -1
    if not (least <= number <= MAX_TTL or (or_none and number == 0)):
        none = ", or 0 for none" if or_none else ""
        raise ConfigurationError(
            f"{name} is {value!r:.100}: give whole seconds from {least:g} to {MAX_TTL:.0f}{none}, e.g. {default:.0f}"
        )
    return number


class StackApp(App):
    """An App without services, on the session store that the settings name.

    Attributes:
        reporter: takes what the services count; None where nothing is counted.
    """

    def __init__(self, settings: Settings) -> None:
        store: SessionStore = open_store(settings.session_store, rpc_address=settings.rpc_address)
        self.reporter = Reporter(RPC(settings.rpc_address)) if settings.metrics else None
        admission = Admission(store, settings.client_limits) if settings.client_limits else None
        watchers: list[EventMetrics | Tracing] = [EventMetrics(self.reporter)] if self.reporter else []
        if settings.traces:
            watchers.append(_tracing())
        for watcher in watchers:
            store = watcher.around(store)
        super().__init__(store=store, session_ttl=settings.session_ttl, admission=admission)
        for watcher in watchers:
            watcher.install(self)


def _tracing() -> Tracing:
    try:
        from rr_tcp.tracing import Tracing  # noqa: PLC0415 - OpenTelemetry is an extra of the package
    except ImportError as error:
        raise ConfigurationError(
            f"OTEL_TRACES_EXPORTER=otlp needs the Python package {error.name!r}: install it, e.g. as "
            "pip install 'rr-tcp[otel]'"
        ) from error
    return Tracing()


def reporter_of(app: App) -> Reporter | None:
    """What a service counts on, None where nothing is counted."""
    return app.reporter if isinstance(app, StackApp) else None


def new_app(env: Mapping[str, str]) -> StackApp:
    """An App without services, as the environment has it."""
    return StackApp(Settings.from_env(env))
