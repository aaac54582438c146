"""The deliberate differences as the documentation has them: `python -m tests.differential.table` prints the table.

The replies in it are those that both servers give to the rules' examples.
"""

from __future__ import annotations

import logging
import sys

from tests.differential.compare import Exchange, compare, steps_of
from tests.differential.dialogues import Dialogue
from tests.differential.rule import Rule
from tests.differential.rules import RULES
from tests.differential.run import Runner


def _row(rule: Rule, runner: Runner) -> str:
    """The last line of the example, what both say to it, and why."""
    dialogue = Dialogue(steps_of(rule.example), hooked=rule.hooked)
    exchanges = [
        result for result in compare(dialogue, runner.loop, runner.pools[rule.hooked]) if isinstance(result, Exchange)
    ]
    ours, theirs = (side.codes[0] for side in (exchanges[-1].ours, exchanges[-1].theirs))
    return f"| {rule.name} | {ours} | {theirs} | {rule.reason} |"


def differences() -> str:
    """The table."""
    with Runner() as runner:
        rows = [_row(rule, runner) for rule in RULES]
    return "\n".join(["| what | here | aiosmtpd | why |", "|---|---|---|---|", *rows])


def main() -> None:
    """Prints it."""
    logging.disable(logging.CRITICAL)  # what the examples do
    sys.stdout.write(differences() + "\n")


if __name__ == "__main__":
    main()
