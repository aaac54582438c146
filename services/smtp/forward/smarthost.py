"""Which server mail is relayed to, and the connections to it, which are kept as long as there is work for them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from aiosmtplib import SMTP, SMTPException, SMTPHeloError

from services.smtp.errors import UnreachableError

log = logging.getLogger(__name__)

Security: TypeAlias = Literal["none", "tls", "starttls"]

QUIT_TIMEOUT: Final = 5.0
"""Seconds that a server has to answer to QUIT. Nothing depends on it."""


@dataclass(frozen=True, slots=True)
class Smarthost:
    """A server that takes mail for anybody.

    Attributes:
        host: its name or address.
        port: its port.
        security: `tls` from the first byte, `starttls`, which is insisted on, or `none`.
        user: whom to log in as, "" for nobody.
        password: of that user; never shown.
    """

    host: str
    port: int
    security: Security = "none"
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """As it stands in the log."""
        return f"{self.host}:{self.port}"


class Lent(NamedTuple):
    """A connection for one transaction or several.

    Attributes:
        client: it, after EHLO and all that is needed to send mail.
        used: whether it was used before: the server may have ended it in the meantime.
    """

    client: SMTP
    used: bool


class Connections:
    """Connections to one smarthost, each for one mail at a time.

    Args:
        smarthost: the server.
        hostname: how we call ourselves.
        timeout: seconds that the server has for any one answer.
        tls: how its certificate is checked; by default as OpenSSL does it on this machine (SSL_CERT_FILE names other
            authorities).
    """

    def __init__(
        self, smarthost: Smarthost, *, hostname: str, timeout: float, tls: ssl.SSLContext | None = None
    ) -> None:
        self._smarthost = smarthost
        self._hostname = hostname
        self._timeout = timeout
        self._tls = tls
        self._idle: list[SMTP] = []

    @contextlib.asynccontextmanager
    async def lend(self) -> AsyncIterator[Lent]:
        """A connection, kept for the next mail unless the block raises, or leaves it closed.

        Raises:
            UnreachableError: there is none to be had.
        """
        client = self._take()
        used = client is not None
        client = client or await self._connect()
        try:
            yield Lent(client, used)
        except BaseException:
            client.close()  # nobody knows what the server would make of a next command
            raise
        if client.is_connected:
            self._idle.append(client)

    async def close(self) -> None:
        """Ends those that are not lent, as is polite."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*map(_quit, idle))

    def _take(self) -> SMTP | None:
        while self._idle:
            client = self._idle.pop()
            if client.is_connected:
                return client
        return None

    async def _connect(self) -> SMTP:
        host = self._smarthost
        client = SMTP(
            hostname=host.host,
            port=host.port,
            username=host.user or None,
            password=host.password or None,
            local_hostname=self._hostname,
            timeout=self._timeout,
            use_tls=host.security == "tls",
            start_tls=host.security == "starttls",
            tls_context=self._tls,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await self._greet(client)
        except (SMTPException, OSError) as error:
            client.close()
            raise UnreachableError(f"the smarthost {host} cannot be used: {_text(error)}") from error
        except BaseException:
            client.close()
            raise
        return client

    @staticmethod
    async def _greet(client: SMTP) -> None:
        try:
            await client.ehlo()
        except SMTPHeloError:  # a server of before 1995, or its imitation
            await client.helo()


async def _quit(client: SMTP) -> None:
    with contextlib.suppress(SMTPException, OSError):
        await client.quit(timeout=QUIT_TIMEOUT)
    client.close()


def _text(error: SMTPException | OSError) -> str:
    """What happened. An error of aiosmtplib that carries a reply has its code first."""
    return " ".join(map(str, error.args)) or type(error).__name__
