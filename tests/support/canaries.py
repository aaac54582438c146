"""Words that must appear nowhere, and every form in which they could."""

from __future__ import annotations

import base64
import json
import secrets
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Final

_MARK: Final = f"canary/{secrets.token_hex(8)}"
"""What all words of a process begin with: where it is not, none of them is."""


def canary(name: str) -> str:
    """A word that nothing else contains. Its dots and slashes tell forms apart that letters would not."""
    return f"{_MARK}.{name}.{secrets.token_hex(8)}"


def forms(word: str) -> dict[str, bytes]:
    """The word as it is, and as it would look encoded, by the name of the encoding.

    In base64 the letters depend on where in the text the word begins, modulo 3; those that its neighbours share are
    left out.
    """
    plain = word.encode()
    found = {
        "plain": plain,
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "URL": urllib.parse.quote(word, safe="").encode(),
        "JSON": json.dumps(word).strip('"').replace("/", "\\/").encode(),
        "UTF-16": word.encode("utf-16-le"),
    }
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + plain).rstrip(b"=")
        found[f"base64 at {shift}"] = encoded[shift + 1 if shift else 0 : -1]
        found[f"URL-safe base64 at {shift}"] = encoded.translate(bytes.maketrans(b"+/", b"-_"))[shift + 1 : -1]
    return found


def leaks(words: Mapping[str, str], places: Iterable[tuple[str, bytes]]) -> list[str]:
    """Which words are where, and in which form; empty when all is well."""
    found = []
    assert all(word.startswith(_MARK) for word in words.values()), "only what `canary` made is looked for"
    for place, content in places:
        for form, mark in forms(_MARK).items():
            if mark in content:
                found += [
                    f"{name} ({form}) is in {place}" for name, word in words.items() if forms(word)[form] in content
                ]
    return found
