"""Ages as people write them."""

from __future__ import annotations

import pytest

from rr_tcp import ConfigurationError
from services.smtp.durations import LONGEST, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("90m", 5400), ("12h", 43200), ("7d", 604800), ("2w", 1209600), ("007d", 604800)]
)
def test_a_number_and_its_unit_are_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text, "MAIL_MAX_AGE") == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "7 d", "-7d", "0d", "1.5h", "7D", "7y", "\u0667d", f"{LONGEST + 1}s"])
def test_anything_else_is_an_error_that_names_the_setting(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^MAIL_MAX_AGE is .*: give a whole number above 0 with s, m, h"):
        parse_duration(text, "MAIL_MAX_AGE")
