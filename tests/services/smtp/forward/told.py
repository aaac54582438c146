"""Something in place of the network that does as a test tells it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from services.smtp import MailInfo
from services.smtp.forward.interface import Mail, Record, Report
from services.smtp.forward.progress import Result

DELIVERED, LATER, FAILED = Result("delivered", 250), Result("later", 450), Result("failed", 550)

Work = Callable[[Mail, Sequence[int], Record], Awaitable[float]]


class Told:
    """A forwarder that does as it is told.

    Args:
        work: done for each mail.

    Attributes:
        tried: what it was asked to do, as ids of mails and numbers of targets.
        reported: what it could have made reports of.
        most: mails that were under way at a time.
        rested, closed: how often it was asked to.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self.tried: list[tuple[str, list[int]]] = []
        self.reported: list[dict[int, Result]] = []
        self.most = 0
        self.rested = self.closed = 0
        self._now = 0

    def targets(self, info: MailInfo) -> Sequence[str]:
        return info.rcpt_tos

    async def forward(self, mail: Mail, targets: Sequence[int], record: Record) -> float:
        self.tried.append((mail.info.id, list(targets)))
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            return await self._work(mail, targets, record)
        finally:
            self._now -= 1

    async def report(self, mail: Mail, results: Mapping[int, Result]) -> Report | None:
        del mail
        self.reported.append(dict(results))
        return None

    async def rest(self) -> None:
        self.rested += 1

    async def close(self) -> None:
        self.closed += 1


def always(*results: Result, wanted: float = 0.0) -> Work:
    """Each attempt has these results, by the number of the target."""

    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        del mail
        await record({number: results[number] for number in targets})
        return wanted

    return work


def raising(error: Exception) -> Work:
    async def work(mail: Mail, targets: Sequence[int], record: Record) -> float:
        del mail, targets, record
        raise error

    return work
