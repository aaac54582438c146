"""Random dialogues: what clients say that are plausible, odd or hostile."""

from __future__ import annotations

import random
from base64 import b64encode
from dataclasses import dataclass
from typing import Final, NamedTuple

from tests.differential.service import LIMITS
from tests.differential.words import (
    GOOD_PATHS,
    GUESSES,
    HOSTS,
    INITIALS,
    LINE_ENDS,
    MAIL_PARAMETERS,
    MECHANISMS,
    ODD_PATHS,
    ODD_TEXTS,
    RCPT_PARAMETERS,
    RESPONSES,
    STRAYS,
    TEXT_LINES,
)

MOST_BLOCKS: Final = 7
"""Transactions and stray commands of one dialogue."""


class Step(NamedTuple):
    """A line, or a piece of text, that a client sends.

    Attributes:
        data: its bytes with their line end.
        waits: whether the client sends it only when both servers wait for text, as after 354.
    """

    data: bytes
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What a client says.

    Attributes:
        steps: in order.
        hooked: whether the servers have the handler `Recorder`.
    """

    steps: tuple[Step, ...]
    hooked: bool = False


class Grammar:
    """Makes dialogues.

    Args:
        rng: the source of all chance.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def dialogue(self) -> Dialogue:
        """A dialogue, one in three for servers with hooks."""
        rng = self._rng
        hooked = self._happens(1 / 3)
        steps = [] if self._happens(0.06) else self._hello()
        for _ in range(rng.randint(1, MOST_BLOCKS)):
            match rng.random():
                case chance if chance < 0.62:
                    steps += self._transaction()
                case chance if chance < 0.65:
                    steps += self._burst()
                case chance if chance < 0.72:
                    steps += self._hello()
                case chance if chance < 0.88 and hooked:
                    if self._happens(0.15):
                        steps += self._guessing()
                    for _ in range(rng.randint(1, 4)):
                        steps += self._authentication()
                case _:
                    steps += [self._line(rng.choice(STRAYS)) for _ in range(rng.randint(1, 4))]
        if self._happens(0.7):
            steps.append(self._line("QUIT"))
        return Dialogue(tuple(steps), hooked=hooked)

    def pieces(self, stream: bytes) -> list[bytes]:
        """The stream cut at random: whole, in few pieces, in packets of one size, or byte by byte."""
        rng = self._rng
        match rng.randrange(5):
            case 0:
                marks: list[int] = []
            case 1:
                size = rng.choice((2, 7, 100, 512, 1400))
                marks = list(range(size, len(stream), size))
            case 2 if len(stream) < 1500:
                marks = list(range(1, len(stream)))
            case 3:
                ends = [index for index, byte in enumerate(stream) if byte in b"\r\n."]
                marks = sorted(rng.sample(ends, min(len(ends), rng.randint(1, 12))))
            case _:
                marks = sorted(rng.sample(range(len(stream)), min(len(stream), rng.randint(1, 8))))
        return [piece for a, b in zip([0, *marks], [*marks, len(stream)], strict=True) if (piece := stream[a:b])]

    def _happens(self, chance: float) -> bool:
        return self._rng.random() < chance

    def _line(self, text: str) -> Step:
        data = text.encode()
        if self._happens(0.1):
            data = data.swapcase()
        return Step(data + (self._rng.choice(LINE_ENDS) if self._happens(0.008) else b"\r\n"))

    def _hello(self) -> list[Step]:
        host = self._rng.choice(HOSTS) if self._happens(0.2) else "client.test"
        verb = "EHLO" if self._happens(0.85) else self._rng.choice(("HELO", "helo", "eHlO"))
        return [self._line(f"{verb} {host}" if host else verb)]

    def _path(self, chance: float) -> str:
        return self._rng.choice(ODD_PATHS) if self._happens(chance) else self._rng.choice(GOOD_PATHS)

    def _command(self, beginning: str, path: str, parameters: tuple[str, ...], chance: float) -> Step:
        rng = self._rng
        if self._happens(0.05):
            beginning = rng.choice((beginning.lower(), beginning + " ", beginning.replace(" ", "  "), beginning[:-1]))
        words = [beginning + path]
        while self._happens(chance):
            words.append(rng.choice(parameters))
        return self._line((" " if not self._happens(0.04) else rng.choice(("  ", "\t", ""))).join(words))

    def _transaction(self) -> list[Step]:
        rng = self._rng
        odd = 0.03 if self._happens(0.75) else 0.4
        steps = [self._command("MAIL FROM:", self._path(odd), MAIL_PARAMETERS, 0.12 + odd / 2)]
        steps += [
            self._command("RCPT TO:", self._path(odd), RCPT_PARAMETERS, odd / 3)
            for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 6)))
        ]
        if self._happens(odd):
            steps.insert(rng.randint(0, len(steps)), self._line(rng.choice(STRAYS)))
        steps.append(self._line("DATA"))
        waits = self._happens(0.85)
        text = self._text()
        return steps + [Step(line, waits) for line in text.splitlines(keepends=True)]

    def _authentication(self) -> list[Step]:
        """AUTH with its responses, right or wrong, or with too many or too few of them."""
        rng = self._rng
        mechanism = rng.choice(("PLAIN", "PLAIN", "LOGIN", "LOGIN", "TWO-QUESTIONS", *MECHANISMS))
        right = {
            "PLAIN": (b"\0user\0password",),
            "LOGIN": (b"user", b"password"),
            "TWO-QUESTIONS": (b"blue", b"fish"),
        }.get(mechanism.upper(), ())
        words = [b64encode(word).decode() for word in right]
        if words and self._happens(0.5):
            words[rng.randrange(len(words))] = rng.choice(RESPONSES)
        if self._happens(0.1):
            words.append(rng.choice(RESPONSES))
        command = f"AUTH {mechanism}"
        if words and self._happens(0.4):
            command += " " + (rng.choice(INITIALS) if self._happens(0.4) else words.pop(0))
        return [self._line(command), *(Step(word.encode() + b"\r\n") for word in words)]

    def _guessing(self) -> list[Step]:
        """Passwords that are wrong, one after the other."""
        guesses = (f"AUTH PLAIN {self._rng.choice(GUESSES)}" for _ in range(LIMITS.auth_failures + 1))
        return [self._line(guess) for guess in guesses]

    def _burst(self) -> list[Step]:
        """Many small mails, as fast as PIPELINING allows."""
        mail = [b"MAIL FROM:<a@a.test>\r\n", b"RCPT TO:<b@b.test>\r\n", b"DATA\r\n", b"hi\r\n", b".\r\n"]
        return [Step(line, line in mail[3:]) for line in mail * self._rng.randint(2, LIMITS.mails + 1)]

    def _text(self) -> bytes:
        """A text with its end, mostly; splitlines cuts it at CR, too, which both servers must stand."""
        rng = self._rng
        lines = [rng.choice(TEXT_LINES) for _ in range(rng.randint(0, 6))]
        if not self._happens(0.1):
            lines = [b"." + line if line.startswith(b".") else line for line in lines]
        if self._happens(0.15):
            lines.insert(rng.randint(0, len(lines)), rng.choice(ODD_TEXTS))
        if self._happens(0.05):
            size = LIMITS.message - sum(len(line) + 2 for line in lines) + rng.randint(-3, 6)
            while size > 2:
                length = min(size, rng.choice((80, 500, 1000)))
                lines.append(rng.choice((b"x", b".")) * (length - 2))
                size -= length
        return b"".join(line + b"\r\n" for line in lines) + b".\r\n"
