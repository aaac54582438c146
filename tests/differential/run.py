"""One dialogue with everything that is checked of it."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from tests.differential.compare import Transcript, compare, in_pieces, to_the_end
from tests.differential.dialogues import Dialogue, Grammar
from tests.differential.reference import ModelError, Reference
from tests.differential.rules import explain
from tests.differential.service import LIMITS, Workers
from tests.differential.wire import codes_of, parse_replies


@dataclass(frozen=True, slots=True)
class Finding:
    """What no rule explains, or the model does not allow, or the cuts change.

    Attributes:
        kind: `difference`, `repair`, `model` or `pieces`.
        what: to be looked at.
        dialogue: that shows it.
        pieces_seed: for the cuts.
    """

    kind: str
    what: str
    dialogue: Dialogue
    pieces_seed: str


class Runner:
    """Runs dialogues on both servers.

    Attributes:
        loop: aiosmtpd's.
        pools: our workers, with hooks and without.
        used: how often each rule explained a difference.
        lines: how many were sent.
        mails: how many both took.
    """

    def __init__(self) -> None:
        self.used: Counter[str] = Counter()
        self.lines = 0
        self.mails = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.loop = asyncio.new_event_loop()
        self._stack.callback(self.loop.close)
        self.pools = {hooked: self._stack.enter_context(Workers(hooked=hooked)) for hooked in (False, True)}
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def run(self, dialogue: Dialogue, pieces_seed: str) -> tuple[Finding | None, Transcript]:
        """What was found in a dialogue, None when all is as it should be, and how it went."""
        transcript = Transcript()
        for result in compare(dialogue, self.loop, self.pools[dialogue.hooked]):
            if isinstance(result, Transcript):
                transcript = result
            elif (rule := explain(result)) is not None:
                self.used[rule.name] += 1
            else:
                return Finding("difference", str(result), dialogue, pieces_seed), transcript
        self.lines += len(transcript.sent)
        self.mails += len(transcript.mails)
        what = transcript.unrepaired or self._against_model(dialogue, transcript) or ""
        if what:
            return Finding("repair" if transcript.unrepaired else "model", what, dialogue, pieces_seed), transcript
        what = self._against_pieces(dialogue, transcript, pieces_seed)
        return (Finding("pieces", what, dialogue, pieces_seed) if what else None), transcript

    def ended(self, transcript: Transcript) -> Transcript:
        """The dialogue without hooks for the real server: with an end."""
        return to_the_end(transcript, self.pools[False])

    def _against_model(self, dialogue: Dialogue, transcript: Transcript) -> str:
        reference = Reference(LIMITS, hooked=dialogue.hooked)
        codes = codes_of(parse_replies(transcript.output))[1:]
        try:
            reference.feed(transcript.stream, codes, closed=transcript.closed)
        except ModelError as error:
            return f"{error}\n{transcript.output!r}"
        if reference.mails != transcript.mails:
            return f"the mails are\n{transcript.mails}\nand should be\n{reference.mails}"
        return ""

    def _against_pieces(self, dialogue: Dialogue, transcript: Transcript, seed: str) -> str:
        pieces = Grammar(random.Random(seed)).pieces(transcript.stream)  # noqa: S311 - the same ones each time
        cut = in_pieces(pieces, self.pools[dialogue.hooked])
        if (cut.output, cut.mails, cut.notes) == (transcript.output, transcript.mails, transcript.notes):
            return ""
        return f"in the pieces {pieces}\n{cut.output!r}\nand in lines\n{transcript.output!r}"


def dialogues(seed: int) -> Iterator[tuple[str, Dialogue]]:
    """All dialogues of a seed, each with the seed of its cuts."""
    for number in itertools.count():
        name = f"{seed}:{number}"
        yield name, Grammar(random.Random(name)).dialogue()  # noqa: S311 - the same ones each time
