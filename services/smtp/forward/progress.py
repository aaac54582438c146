"""What became of a mail so far, for each of its targets: kept in the queue, so that a restart goes on where it was.

A target is what a mail is handed to: each recipient at the smarthost, or the one URL of a webhook.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from services.smtp.errors import ProgressError

State: TypeAlias = Literal["delivered", "later", "failed"]

TEXT: Final = 200
"""Characters of an answer that are kept: enough for a reason, and a target cannot fill the queue with more."""

_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]+")


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one target said to one attempt.

    Attributes:
        state: `delivered` and `failed` are final, `later` is tried again.
        code: the reply or status code, 0 when there was no answer.
        text: the answer, or what prevented one; printable ASCII.
        notifies: whoever took the mail tells the sender about its delivery, if the sender asked for that (RFC 3461).
    """

    state: State
    code: int = 0
    text: str = ""
    notifies: bool = False

    @property
    def final(self) -> bool:
        """Whether this target is done with."""
        return self.state != "later"

    def __str__(self) -> str:
        """As it stands in the log."""
        return " ".join(filter(None, [self.state, str(self.code or ""), self.text]))


def result(state: State, code: int = 0, text: str = "", *, notifies: bool = False) -> Result:
    """A `Result` with the text of a stranger, made fit for logs and notifications."""
    return Result(state, code, _UNPRINTABLE.sub(" ", text).strip()[:TEXT], notifies)


class Progress(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What became of a mail so far.

    Attributes:
        since: when it was tried first, in seconds since the epoch.
        tries: attempts that left something to be done.
        results: the last result of each target that was tried, by its number.
        reported: the targets whose final result the sender needs no more notification of.
    """

    since: float
    tries: int = 0
    results: dict[int, Result] = {}
    reported: list[int] = []

    def pending(self, targets: int) -> list[int]:
        """The numbers of the targets, of so many, that are not done with."""
        return [number for number in range(targets) if number not in self.results or not self.results[number].final]

    def note(self, results: Mapping[int, Result]) -> None:
        """Takes in what an attempt has come to. A final result stays as it is."""
        self.results |= {number: found for number, found in results.items() if number in self.pending(number + 1)}

    def give_up(self, targets: int, reason: str) -> dict[int, Result]:
        """Fails what is still to be done, with its last answer as the cause, and returns it."""
        expired = {}
        for number in self.pending(targets):
            last = self.results.get(number, Result("later"))
            expired[number] = result("failed", last.code, f"{reason}: {last.text}" if last.text else reason)
        self.results |= expired
        return expired

    def unreported(self) -> dict[int, Result]:
        """The final results that the sender was not yet notified of."""
        return {
            number: found
            for number, found in sorted(self.results.items())
            if found.final and number not in self.reported
        }

    def mark_reported(self, numbers: Collection[int]) -> None:
        """The sender needs no more notification of these."""
        self.reported = sorted({*self.reported, *numbers})


def encode_progress(progress: Progress) -> bytes:
    """For the queue."""
    return msgspec.json.encode(progress)


def decode_progress(data: bytes) -> Progress:
    """What the queue kept.

    Raises:
        ProgressError: it is damaged, or of a later version.
    """
    try:
        return msgspec.json.decode(data, type=Progress)
    except msgspec.DecodeError as error:
        raise ProgressError(f"what the queue keeps of it cannot be read: {error}") from error
