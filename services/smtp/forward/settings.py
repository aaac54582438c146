"""Settings of the consumers that hand mails on, from the environment; `.env.example` describes them."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from rr_tcp import ConfigurationError
from services.smtp.forward.schedule import Schedule
from services.smtp.forward.signature import parse_secret
from services.smtp.forward.smarthost import Security, Smarthost
from services.smtp.settings import positive

RELAY_URLS: Final = "smtp://host:25, smtps://user@host:465 or smtp+starttls://user@host:587"

_SCHEMES: Final[Mapping[str, tuple[Security, int]]] = {
    "smtp": ("none", 25),
    "smtps": ("tls", 465),
    "smtp+starttls": ("starttls", 587),
}


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """How a queue is worked through, whoever does it.

    Attributes:
        concurrency: mails that are under way at a time.
        lease: seconds until a mail is tried again that a consumer had under way when it was killed.
        schedule: when mails are tried again, and when no more.
    """

    concurrency: int = 4
    lease: float = 60.0
    schedule: Schedule = field(default_factory=Schedule)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> QueueSettings:
        """Reads the variables DELIVERY_...; empty is unset.

        Raises:
            ConfigurationError: a value cannot be used.
        """
        usual, schedule = cls(), Schedule()
        return cls(
            concurrency=positive(env, "DELIVERY_CONCURRENCY", usual.concurrency, "most mails under way at a time"),
            lease=positive(
                env, "DELIVERY_LEASE", int(usual.lease), "seconds until a mail of a killed consumer comes again"
            ),
            schedule=Schedule(
                first=positive(env, "DELIVERY_RETRY_FIRST", int(schedule.first), "seconds until the second attempt"),
                longest=positive(
                    env, "DELIVERY_RETRY_LONGEST", int(schedule.longest), "seconds between two attempts at most"
                ),
                give_up=positive(env, "DELIVERY_GIVE_UP", int(schedule.give_up), "seconds until a mail is given up"),
            ),
        )


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Where mails are relayed to.

    Attributes:
        smarthost: the server.
        timeout: seconds that it has for any one answer.
    """

    smarthost: Smarthost
    timeout: float

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> RelaySettings:
        """Reads RELAY_URL, RELAY_PASSWORD_FILE and RELAY_TIMEOUT.

        Raises:
            ConfigurationError: a value is missing or cannot be used, or the file cannot be read.
        """
        url = env.get("RELAY_URL", "")
        parts = _split(url)
        if parts is None or parts.scheme not in _SCHEMES or parts.path.strip("/") or parts.query or parts.fragment:
            raise ConfigurationError(
                f"RELAY_URL is {_state_of(url)}: give the smarthost as {RELAY_URLS}, without the password"
            )
        security, port = _SCHEMES[parts.scheme]
        host, user = parts.hostname or "", unquote(parts.username or "")
        if user and security == "none" and not _is_here(host):
            raise ConfigurationError(
                "RELAY_URL has a user, whose password smtp:// would send for all to read: use smtps:// or "
                "smtp+starttls://"
            )
        password = _secret(env.get("RELAY_PASSWORD_FILE", ""), "RELAY_PASSWORD_FILE") if user else ""
        if user and not password:
            raise ConfigurationError(
                "RELAY_URL has a user: write the password to a file and name it in RELAY_PASSWORD_FILE"
            )
        return cls(
            smarthost=Smarthost(host, parts.port or port, security, user, password),
            timeout=positive(env, "RELAY_TIMEOUT", 300, "seconds for one answer"),  # RFC 5321 4.5.3.2
        )


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where mails are posted to.

    Attributes:
        url: of the application; may be a secret itself.
        key: of the signatures.
        timeout: seconds that the application has to answer.
    """

    url: str = field(repr=False)
    key: bytes = field(repr=False)
    timeout: float

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> WebhookSettings:
        """Reads WEBHOOK_URL, WEBHOOK_SECRET_FILE and WEBHOOK_TIMEOUT.

        Raises:
            ConfigurationError: a value is missing or cannot be used, or the file cannot be read.
        """
        url = env.get("WEBHOOK_URL", "")
        parts = _split(url)
        if parts is None or parts.scheme not in {"http", "https"} or parts.fragment or parts.username is not None:
            raise ConfigurationError(
                f"WEBHOOK_URL is {_state_of(url)}: give the application's URL, http:// or https://, without a user"
            )
        secret = _secret(env.get("WEBHOOK_SECRET_FILE", ""), "WEBHOOK_SECRET_FILE")
        return cls(url, parse_secret(secret), positive(env, "WEBHOOK_TIMEOUT", 30, "seconds for the answer"))


def _split(url: str) -> SplitResult | None:
    """A URL in its parts, if it has a host, a port that can be, and no password."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.password is None and parts.port != 0 and url.isprintable()
    except ValueError:
        return None
    return parts if usable else None


def _state_of(url: str) -> str:
    """What is wrong with a URL that cannot be used. What is in it is not shown: it may be a secret."""
    return "not usable" if url else "not set"


def _secret(name: str, setting: str) -> str:
    """The secret in a file, without the line end."""
    try:
        return Path(name).read_text().strip() if name else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the file of {setting} cannot be read: {error}") from error


def _is_here(host: str) -> bool:
    """Whether what is sent to a host stays on this one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
