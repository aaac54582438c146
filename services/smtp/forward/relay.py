"""Hands mails on to a smarthost, by SMTP."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from aiosmtplib import SMTP, SMTPDataError, SMTPException, SMTPServerDisconnected

from services.smtp import trace
from services.smtp.errors import MailStoreError, UnreachableError
from services.smtp.forward import outgoing
from services.smtp.forward.budget import Budget
from services.smtp.forward.interface import Mail, Record, Report
from services.smtp.forward.notification import Reporter, asked_for, notification, quotes_all
from services.smtp.forward.outgoing import Text
from services.smtp.forward.progress import Result, result
from services.smtp.forward.smarthost import Connections
from services.smtp.mailstore import MailInfo

HELD: Final = 16 * 1024 * 1024
"""Bytes of texts that are in memory at a time. aiosmtplib takes a text whole, and about six times its size while it
sends it; so one longer than this still goes, but alone."""

SLOWEST: Final = 16 * 1024
"""Bytes per second that a smarthost must take of a text, on top of the time that it has to answer."""

HEADER: Final = 64 * 1024
"""Bytes within which a header that is quoted must end."""

_OK: Final = 250
_CLOSING: Final = 421
_TOO_MANY: Final = 452
_ALSO_TOO_MANY: Final = 552
"""What servers that follow RFC 821 say. To the first recipient of a transaction it is about the mailbox."""
_NOT_LET_IN: Final = frozenset({530, 534, 535, 538})
"""Replies that are about credentials (RFC 4954): a matter of our settings, no fault of the mail."""


def _now() -> datetime:
    return datetime.now(UTC)


class Relay:
    """A `Forwarder` to a smarthost. A target is a recipient.

    Args:
        connections: to the smarthost.
        reporter: who we are, and what the smarthost is called.
        timeout: seconds that the smarthost has for any one answer; twice that for the one to a text (RFC 5321 4.5.3.2).
        clock: the time in UTC.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        reporter: Reporter,
        timeout: float,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._connections = connections
        self._reporter = reporter
        self._timeout = timeout
        self._clock = clock
        self._budget = Budget(HELD)

    def targets(self, info: MailInfo) -> Sequence[str]:
        """See `Forwarder.targets`."""
        return [f"<{address}>" for address in info.rcpt_tos]

    async def forward(self, mail: Mail, targets: Sequence[int], record: Record) -> float:
        """See `Forwarder.forward`. In one transaction, or in several if the smarthost takes fewer recipients in one."""
        async with self._budget.hold(mail.info.size):
            message = await self._message(mail)
            left = list(targets)
            while left:
                results = await self._send(mail.info, message, left)
                await record(results)
                moved = any(found.state == "delivered" for found in results.values())
                left = [number for number in left if number not in results or (moved and _is_excess(results[number]))]
        return 0.0

    async def report(self, mail: Mail, results: Mapping[int, Result]) -> Report | None:
        """See `Forwarder.report`."""
        told = asked_for(mail.info, results)
        if not told:
            return None
        text = await self._quoted(mail)
        return notification(mail.info, told, text, reporter=self._reporter, now=self._clock())

    async def rest(self) -> None:
        """See `Forwarder.rest`."""
        await self._connections.close()

    async def close(self) -> None:
        """See `Forwarder.close`."""
        await self._connections.close()

    async def _message(self, mail: Mail) -> bytes:
        """The text with our `Received:` line on top; a notification begins here and has none."""
        top = trace.received(mail.info, by=self._reporter.hostname) if mail.info.peer else b""
        return top + b"".join([piece async for piece in mail.read()])

    async def _quoted(self, mail: Mail) -> bytes:
        """What a notification may quote; nothing when it cannot be read any more."""
        quoted = b""
        with contextlib.suppress(MailStoreError):
            async for piece in mail.read():
                quoted += piece
                if not quotes_all(mail.info) and (b"\r\n\r\n" in quoted or len(quoted) > HEADER):
                    break
        return quoted if quotes_all(mail.info) else quoted[:HEADER]

    async def _send(self, info: MailInfo, message: bytes, numbers: Sequence[int]) -> dict[int, Result]:
        """One transaction, with the recipients that the smarthost takes in one; their results."""
        while True:
            transaction = _Transaction(info, message, numbers, self._timeout)
            try:
                async with self._connections.lend() as (client, used):
                    await transaction.run(client)
            except UnreachableError as error:
                return transaction.broken_off(str(error))
            except SMTPServerDisconnected as error:
                if used and not transaction.begun:
                    continue  # it was ended while nobody used it
                return transaction.broken_off(f"the smarthost ended the connection: {error}")
            except (SMTPException, OSError) as error:
                return transaction.broken_off(f"the connection to the smarthost failed: {error}")
            return transaction.results


class _Transaction:
    """A mail on its way over one connection.

    Attributes:
        results: what the smarthost said so far, by the number of the recipient.
        begun: whether it answered to MAIL.
    """

    def __init__(self, info: MailInfo, message: bytes, numbers: Sequence[int], timeout: float) -> None:
        self._info = info
        self._message = message
        self._numbers = numbers
        self._timeout = timeout
        self.results: dict[int, Result] = {}
        self.begun = False

    async def run(self, client: SMTP) -> None:
        """MAIL, RCPT and DATA.

        Raises:
            SMTPException: the connection is of no use any more; so do OSErrors say.
        """
        extensions = client.esmtp_extensions
        self._numbers = self._numbers[: outgoing.recipients_at_once(extensions)]
        text = outgoing.examine(self._message)
        refused = outgoing.refusal(self._info, text, extensions) or await self._mail(client, text)
        if refused is not None:
            self.results = dict.fromkeys(self._numbers, refused)
            return
        accepted: list[int] = []
        for number in self._numbers:
            if await self._rcpt(client, number, behind=len(accepted)):
                accepted.append(number)
        if accepted:
            self.results |= dict.fromkeys(accepted, await self._data(client))
        if any(found.state != "delivered" for found in self.results.values()):
            await _reset(client)

    def broken_off(self, reason: str) -> dict[int, Result]:
        """The results when the connection failed; who has none is tried again."""
        return dict.fromkeys(self._numbers, result("later", text=reason)) | self.results

    async def _mail(self, client: SMTP, text: Text) -> Result | None:
        """What the server has against the sender."""
        parameters = outgoing.mail_parameters(self._info, text, client.esmtp_extensions)
        found = await self._command(client, "MAIL", f"FROM:<{self._info.mail_from}>", parameters)
        self.begun = True
        return None if found.state == "delivered" else found

    async def _rcpt(self, client: SMTP, number: int, *, behind: int) -> bool:
        """Whether the server takes the recipient, behind so many others; what it has against it is a result."""
        extensions = client.esmtp_extensions
        found = outgoing.recipient_refusal(self._info, number, extensions)
        if found is None:
            parameters = outgoing.rcpt_parameters(self._info, number, extensions)
            found = await self._command(client, "RCPT", f"TO:<{self._info.rcpt_tos[number]}>", parameters)
        if behind and found.code == _ALSO_TOO_MANY:
            found = result("later", found.code, found.text)
        if found.state != "delivered":
            self.results[number] = found
        return found.state == "delivered"

    async def _data(self, client: SMTP) -> Result:
        timeout = 2 * self._timeout + len(self._message) / SLOWEST
        try:
            code, text = await client.data(self._message, timeout=timeout)
        except SMTPDataError as error:
            code, text = error.code, error.message
            if code // 100 == 2:  # not the 250 that ends a text: it may stand where 354 was due, and nothing was sent
                raise SMTPServerDisconnected(f"{code} {text} does not answer DATA") from error
        return _judged(code, text, notifies=client.supports_extension("dsn"))

    @staticmethod
    async def _command(client: SMTP, verb: str, path: str, parameters: Sequence[str]) -> Result:
        """As the library's own `mail` and `rcpt`, which change quoted local parts and take no UTF-8 in parameters.

        An address that no command can carry, such as one with a control character, fails alone: nothing was sent.
        """
        try:
            code, text = await client.execute_command(
                verb.encode(), path.encode(), *(parameter.encode() for parameter in parameters)
            )
        except ValueError as error:
            return result("failed", text=f"it cannot be sent in a command: {error}")
        if code == _CLOSING:
            raise SMTPServerDisconnected(f"{code} {text}")
        return _judged(code, text)


async def _reset(client: SMTP) -> None:
    """Makes the connection fit for the next mail; one that cannot be made so is closed."""
    try:
        code, _ = await client.execute_command(b"RSET")
    except (SMTPException, OSError):
        code = 0
    if code != _OK:
        client.close()


def _judged(code: int, text: str, *, notifies: bool = False) -> Result:
    """A reply as a result (RFC 5321 4.2.1)."""
    if code // 100 == 2:
        return result("delivered", code, text, notifies=notifies)
    if code // 100 == 5 and code not in _NOT_LET_IN:
        return result("failed", code, text)
    return result("later", code, text)


def _is_excess(found: Result) -> bool:
    """Whether a recipient was only one too many for its transaction (RFC 5321 4.5.3.1.10)."""
    return found.state == "later" and found.code in {_TOO_MANY, _ALSO_TOO_MANY}
