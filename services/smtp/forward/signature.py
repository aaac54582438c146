"""Signatures of webhook calls, as Standard Webhooks 1.0 has them (https://www.standardwebhooks.com).

Receivers find libraries that verify them in most languages; docs/delivery.md shows how to do it without one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from rr_tcp import ConfigurationError

PREFIX: Final = "whsec_"
"""What a secret begins with, so that it is known for one wherever it turns up."""

_SHORTEST: Final = 24
_LONGEST: Final = 64


def parse_secret(text: str) -> bytes:
    """The key in a secret: the prefix, and 24 to 64 bytes in base64.

    Raises:
        ConfigurationError: it is none. The message does not quote it.
    """
    encoded = text.strip()
    try:
        key = base64.b64decode(encoded.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not encoded.startswith(PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise ConfigurationError(
            f"the secret of the webhook is not {PREFIX} and {_SHORTEST} to {_LONGEST} bytes in base64: make one with "
            f"`printf {PREFIX}; head -c 32 /dev/urandom | base64`"
        )
    return key


class Signature:
    """The header `webhook-signature`, once all of the body went through `update`.

    Args:
        key: from the secret.
        message_id: the header `webhook-id`.
        timestamp: the header `webhook-timestamp`, seconds since the epoch.
    """

    def __init__(self, key: bytes, message_id: str, timestamp: int) -> None:
        self._digest = hmac.new(key, f"{message_id}.{timestamp}.".encode(), hashlib.sha256)

    def update(self, piece: bytes) -> None:
        """Takes the next bytes of the body."""
        self._digest.update(piece)

    def __str__(self) -> str:
        """As it stands in the header."""
        return "v1," + base64.b64encode(self._digest.digest()).decode()
