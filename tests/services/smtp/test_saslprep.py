"""SASLprep, by the examples of RFC 4013 section 3 and what people type."""

from __future__ import annotations

import pytest

from services.smtp.saslprep import saslprep


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("u\u0308", "\u00fc"),
        ("a\u00a0b", "a b"),
        ("a\u1680b", "a b"),
        ("\u05d0\u05d1", "\u05d0\u05d1"),
        ("", ""),
    ],
)
def test_what_looks_the_same_is_the_same(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u06271", "a\u05d0", "\ud800", "\ue000", "\u0221", "a\0b", "a\nb"])
def test_what_must_not_be_in_a_name_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="RFC 4013") as error:
        saslprep(text)
    assert text not in str(error.value)
