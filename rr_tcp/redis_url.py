"""What a URL of a Redis, of a Redis with TLS or of a Redis Cluster says, for session stores and services alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from rr_tcp.errors import ConfigurationError

REDIS_PORT: Final = 6379

SCHEMES: Final = frozenset({"redis", "rediss", "redis+cluster", "rediss+cluster"})

ACCEPTED: Final = (
    "redis://[[user]:password@]host[:port][/db], the same with rediss:// for TLS, "
    "redis+cluster://[[user]:password@]host[:port][,host[:port]...] or rediss+cluster:// for a Redis Cluster; "
    "behind it ?password_file=, ca=, cert= and key= with paths, replicas= with a number, joined by &"
)

_URL: Final = re.compile(r"(?P<scheme>[a-z+]*)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(\?(?P<query>[^#]*))?")
_FILES: Final = ("password_file", "ca", "cert", "key")

Unusable = Callable[[str, str], ConfigurationError]
"""Makes the error out of the URL's scheme and what is wrong with it; neither has a secret in it."""


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where a Redis is, and who we are there.

    Attributes:
        nodes: hosts and ports; one, or of a cluster some that tell where the others are.
        cluster: whether it is a Redis Cluster.
        db: number of the database; a cluster has none but 0.
        username: of an ACL user; None for the default one.
        password: None without authentication, or where a file has it.
        password_file: has the password, and nothing else but white space around it; read with each connection, so that
            it may change.
        tls: speak TLS, and verify the server.
        ca: certificates of the authorities that the server's is verified with; None for the system's (OpenSSL's
            SSL_CERT_FILE adds to them).
        cert: our own certificate, for a server that asks for one.
        key: its private key; None where the file of the certificate has it.
        replicas: how many replicas must have a write before it counts.
    """

    nodes: tuple[tuple[str, int], ...]
    cluster: bool = False
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None
    tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    replicas: int = 0

    @property
    def name(self) -> str:
        """For messages."""
        if self.cluster:
            return "Redis Cluster at " + ",".join(f"{host}:{port}" for host, port in self.nodes)
        return f"Redis at {self.nodes[0][0]}:{self.nodes[0][1]}/{self.db}"


def parse_redis_url(url: str, unusable: Unusable) -> RedisPlace:
    """What a URL says; percent-escapes are decoded.

    Args:
        url: one of `ACCEPTED`, whose scheme is one of `SCHEMES`.
        unusable: makes the error.

    Raises:
        ConfigurationError: what `unusable` made. It has no cause: errors of the parsers quote passwords.
    """
    match = _URL.fullmatch(url)
    scheme = url.partition("://")[0]
    if match is None:
        raise unusable(scheme, "it has a part after #; in a user name or password write %23")
    cluster = scheme.endswith("+cluster")
    user_info, _, hosts = match["authority"].rpartition("@")
    nodes = tuple(node for host in hosts.split(",") if (node := _node(host)))
    if len(nodes) != hosts.count(",") + 1 or set("[]").intersection(user_info):
        raise unusable(scheme, "its host or port is no such thing, or it names no host")
    if len(nodes) > 1 and not cluster:
        raise unusable(scheme, "it names several hosts, and is not the URL of a cluster (redis+cluster://)")
    db = (match["path"] or "").removeprefix("/") or "0"
    if not (db.isascii() and db.isdecimal()) or (cluster and db != "0"):
        raise unusable(scheme, "its path is no number of a database, of which a cluster has only 0")
    query = _query(match["query"], scheme, unusable)
    tls, paths = scheme.startswith("rediss"), {name: Path(query[name]) for name in _FILES if name in query}
    username, _, password = user_info.partition(":")
    if password and "password_file" in paths:
        raise unusable(scheme, "it has a password and names a file with one")
    if not tls and not paths.keys() <= {"password_file"}:
        raise unusable(scheme, "it names files for TLS and does not ask for TLS (rediss://)")
    return RedisPlace(
        nodes,
        cluster=cluster,
        db=int(db),
        username=unquote(username) or None,
        password=unquote(password) or None,
        tls=tls,
        replicas=int(query.get("replicas", "0")),
        **paths,
    )


def _node(host: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(f"//{host}")
        port = parts.port
    except ValueError:
        return None
    return (parts.hostname, REDIS_PORT if port is None else port) if parts.hostname else None


def _query(query: str | None, scheme: str, unusable: Unusable) -> dict[str, str]:
    given = parse_qsl(query or "", keep_blank_values=True)
    found = dict(given)
    if len(found) < len(given) or not found.keys() <= {*_FILES, "replicas"} or "" in found.values():
        raise unusable(
            scheme,
            "what stands after ? is not password_file=, ca=, cert=, key= or replicas=, each once and with a value; in "
            "a user name or password write %3F",
        )
    if not (replicas := found.get("replicas", "0")).isascii() or not replicas.isdecimal():
        raise unusable(scheme, "replicas= is no number")
    return found
