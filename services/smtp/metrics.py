"""Metrics of the mail service, on RoadRunner's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rr_tcp import Counter, Distribution, Reporter
from services.smtp.reasons import MAIL_REASONS, REASONS, reason
from services.smtp.replies import Reply

ACCEPTED: Final = Counter("smtp_mails_accepted_total", "Mails that were stored and acknowledged.")
RECIPIENTS: Final = Counter("smtp_recipients_accepted_total", "Recipients of the mails that were stored.")
SIZES: Final = Distribution(
    "smtp_mail_size_bytes",
    "Sizes of the mails that were stored.",
    bounds=(1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0, 67108864.0),
)
REFUSED: Final = Counter(
    "smtp_mails_refused_total", "Mails that were refused at the end of their text, for now or for good.", ("reason",)
)
REFUSALS: Final = Counter(
    "smtp_refusals_total", "Replies of 4xx and 5xx to commands and texts, those to mails included.", ("reason",)
)


class MailMetrics:
    """A `MailObserver` that counts.

    Args:
        reporter: brings the numbers to RoadRunner.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._accepted = reporter.tally(ACCEPTED)
        self._recipients = reporter.tally(RECIPIENTS)
        self._sizes = reporter.spread(SIZES)
        self._refused = {name: reporter.tally(REFUSED, name) for name in MAIL_REASONS}
        self._refusals = {name: reporter.tally(REFUSALS, name) for name in REASONS}
        self._reporter = reporter

    def accepted(self, size: int, recipients: int) -> None:
        """See `MailObserver.accepted`."""
        self._accepted.value += 1
        self._recipients.value += recipients
        self._sizes.observe(size)

    def refused(self, reply: Reply) -> None:
        """See `MailObserver.refused`. A handler may give any of the service's own replies."""
        name = reason(reply)
        if name not in self._refused:
            self._refused[name] = self._reporter.tally(REFUSED, name)
        self._refused[name].value += 1

    def said(self, refusals: Sequence[Reply]) -> None:
        """See `MailObserver.said`."""
        for reply in refusals:
            self._refusals[reason(reply)].value += 1
