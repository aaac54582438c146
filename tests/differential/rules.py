"""The deliberate differences between the service and aiosmtpd 1.4.6: one table, which `docs/aiosmtpd.md` repeats.

A rule explains a difference only where the line, our reply and theirs are what it says. That our reply is right is
another matter, and not left to the rules: the model (`reference`) judges every one.
"""

from __future__ import annotations

from typing import Final

from tests.differential.compare import Exchange
from tests.differential.rule import Rule
from tests.differential.rules_auth import IN_AUTH
from tests.differential.rules_commands import IN_COMMANDS
from tests.differential.rules_texts import IN_TEXTS

RULES: Final[tuple[Rule, ...]] = (*IN_COMMANDS, *IN_AUTH, *IN_TEXTS)


def explain(exchange: Exchange) -> Rule | None:
    """The rule that explains a difference, None when none does."""
    return next((rule for rule in RULES if rule.explains(exchange)), None)
