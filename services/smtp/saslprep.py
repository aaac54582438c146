"""SASLprep (RFC 4013): one form for names and passwords that look the same, however they were typed.

RFC 4616 section 2 recommends it for PLAIN: a `ü` that comes as one character from one keyboard is two from another, and
both are to be the same password. The tables are those of the standard library's `stringprep`.
"""

from __future__ import annotations

import stringprep
import unicodedata
from collections.abc import Callable
from typing import Final

_PROHIBITED: Final[tuple[Callable[[str], bool], ...]] = (  # RFC 4013 section 2.3, and 2.5: unassigned code points
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def saslprep(text: str) -> str:
    """The prepared form, as of a stored string.

    Raises:
        ValueError: the text holds what no name or password may: control characters, characters that Unicode 3.2 does
            not have, or a mix of writing directions. The message does not quote it.
    """
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(prohibited(character) for prohibited in _PROHIBITED for character in prepared):
        raise ValueError("it holds a character that SASLprep (RFC 4013) prohibits, e.g. a control character")
    if any(map(stringprep.in_table_d1, prepared)) and (
        any(map(stringprep.in_table_d2, prepared))
        or not stringprep.in_table_d1(prepared[0])
        or not stringprep.in_table_d1(prepared[-1])
    ):
        raise ValueError("it mixes characters written from right to left with others (RFC 4013 section 2.4)")
    return prepared
