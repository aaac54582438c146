"""Connections that wait in the middle of a mail while others suffer, and then go on: none of them may be lost."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from typing import Final, Self

from tests.e2e.clients import RawClient, dot_stuffed
from tests.faults.clients import Log
from tests.faults.dialogues import make_attempt
from tests.faults.ledger import Attempt
from tests.faults.stacks import Stack
from tests.support.waiting import wait_until

_FIRST_LINE: Final = b"the first line came before\r\n"


@dataclass(slots=True)
class _Waiting:
    client: RawClient
    attempt: Attempt
    rest: bytes


class Bystanders:
    """Clients whose text has begun and is in the session store, for the time of the block.

    Args:
        stack: what they are connected to; nobody else is, and nothing is done to it, while the block begins.
        count: how many.
        seed: of what they send.
    """

    def __init__(self, stack: Stack, count: int, seed: int) -> None:
        self._stack = stack
        self._count = count
        self._random = Random(seed)  # noqa: S311 - the same mails for the same seed
        self._waiting: list[_Waiting] = []
        self._connections = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as connections:
            for number in range(self._count):
                client = connections.enter_context(RawClient(self._stack.target.smtp))
                self._waiting.append(self._begin(client, f"bystander-{number}@example.test"))
            events = self._stack.events()
            for waiting in self._waiting:
                waiting.client.send(_FIRST_LINE)
            # No reply tells that a piece of a text has come.
            wait_until(lambda: self._stack.events() >= events + self._count, "the first lines of all texts")
            self._connections = connections.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connections.close()

    def _begin(self, client: RawClient, mail_from: str) -> _Waiting:
        text = _FIRST_LINE + self._random.randbytes(1000).hex().encode().replace(b"0", b".\r\n.") + b"\r\n"
        attempt = make_attempt(self._random, mail_from, text)
        commands = ["EHLO c", f"MAIL FROM:<{mail_from}>", *(f"RCPT TO:<{to}>" for to in attempt.rcpt_tos), "DATA"]
        replies = [client.reply(), *(client.command(command.encode()) for command in commands)]
        assert [reply[:1] for reply in replies] == [b"2"] * len(commands) + [b"3"], replies
        return _Waiting(client, attempt, dot_stuffed(text).removeprefix(_FIRST_LINE))

    def finish(self) -> Log:
        """All send the rest of their mails; what came of it. Nothing may be done to the stack meanwhile."""
        log = Log(connections=self._count, attempts=[waiting.attempt for waiting in self._waiting])
        for waiting in self._waiting:
            waiting.attempt.sent = True
            try:
                waiting.client.send(waiting.rest)
                waiting.attempt.reply = waiting.client.reply()
            except OSError as error:  # the connection broke, or nothing came
                log.findings.append(f"{waiting.attempt.mail_from}, which only waited: {error}")
            else:
                if not waiting.attempt.acknowledged:
                    log.findings.append(f"{waiting.attempt.mail_from}, which only waited: {waiting.attempt.reply!r}")
        return log
