"""Hands mails on to an application, by HTTP: a signed POST for each."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

import httpx

from services.smtp.forward.interface import Mail, Record, Report
from services.smtp.forward.payload import Payload
from services.smtp.forward.progress import Result, State, result
from services.smtp.forward.signature import Signature
from services.smtp.mailstore import MailInfo

SLOWEST: Final = 16 * 1024
"""Bytes per second that a receiver must take of a call, on top of the time that it has to answer."""

ANSWER: Final = 64 * 1024
"""Bytes of an answer that are read, so that the connection can be used again. Nothing is made of them."""

LONGEST_WAIT: Final = 86_400.0
"""Seconds of a `Retry-After` that are honoured."""

_LATER: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class Webhook:
    """A `Forwarder` to one URL, which is its one target.

    A text goes from the store to the connection in pieces, twice: the signature stands before the body.

    Args:
        url: where to; never shown whole, as it may be a secret.
        key: of the signatures.
        hostname: of the server that received the mails.
        timeout: seconds that the receiver has to answer.
        client: makes the calls.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        url: str,
        *,
        key: bytes,
        hostname: str,
        timeout: float,
        client: httpx.AsyncClient,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = httpx.URL(url)
        self._key = key
        self._hostname = hostname
        self._timeout = timeout
        self._client = client
        self._clock = clock

    def targets(self, info: MailInfo) -> Sequence[str]:
        """See `Forwarder.targets`."""
        del info  # all mails go to the same place
        return [self._url.netloc.decode()]

    async def forward(self, mail: Mail, targets: Sequence[int], record: Record) -> float:
        """See `Forwarder.forward`."""
        payload = Payload(mail.info, hostname=self._hostname)
        headers = await self._headers(mail, payload)
        answers: list[httpx.Response] = []
        found = result("later", text=f"no answer within {self._timeout:g} s")
        try:
            async with asyncio.timeout(self._timeout + len(payload) / SLOWEST):
                await self._post(headers, payload.pieces(mail.read()), answers.append)
        except TimeoutError:
            pass
        except httpx.HTTPError as error:
            found = result("later", text=f"{type(error).__name__}: {error}")
        wanted = 0.0
        for answer in answers:  # its status counts, whatever became of its body
            found = result(_state(answer.status_code), answer.status_code, answer.reason_phrase)
            wanted = retry_after(answer.headers.get("retry-after", ""), self._clock())
        await record(dict.fromkeys(targets, found))
        return wanted

    async def report(self, mail: Mail, results: Mapping[int, Result]) -> Report | None:
        """See `Forwarder.report`. What the application does is no concern of the mail's sender."""
        del mail, results
        return None

    async def rest(self) -> None:
        """See `Forwarder.rest`. The client closes idle connections by itself."""

    async def close(self) -> None:
        """See `Forwarder.close`."""
        await self._client.aclose()

    async def _headers(self, mail: Mail, payload: Payload) -> dict[str, str]:
        timestamp = int(self._clock())
        signature = Signature(self._key, mail.info.id, timestamp)
        async for piece in payload.pieces(mail.read()):
            signature.update(piece)
        return {
            "content-type": "application/json",
            "content-length": str(len(payload)),
            "webhook-id": mail.info.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": str(signature),
        }

    async def _post(
        self, headers: Mapping[str, str], body: AsyncIterator[bytes], answered: Callable[[httpx.Response], None]
    ) -> None:
        """Makes a call; tells of the answer as soon as its status is there, and then reads its body."""
        async with self._client.stream("POST", self._url, headers=headers, content=body) as response:
            answered(response)
            read = 0
            async for piece in response.aiter_raw():
                read += len(piece)
                if read > ANSWER:
                    break


def _state(code: int) -> State:
    """What a status means (RFC 9110 section 15). A redirection is not followed: somebody has to look at the URL."""
    if 200 <= code < 300:
        return "delivered"
    if 400 <= code < 500 and code not in _LATER:
        return "failed"
    return "later"


def retry_after(value: str, now: float) -> float:
    """Seconds that a header `Retry-After` asks for (RFC 9110 10.2.3); 0 for one that says nothing.

    Args:
        value: of the header: seconds, or a date.
        now: seconds since the epoch.
    """
    if value.isascii() and value.isdecimal():
        return min(float(value), LONGEST_WAIT)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return min(max(date.timestamp() - now, 0.0), LONGEST_WAIT)
