"""What no text of a mail ends in, though some servers thought so, and let two mails come out of one."""

from __future__ import annotations

from typing import Final

FAKE_ENDS: Final = (
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\n.\r\r\n",
    b"\r\n.\n.\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\0\n",
    b"\r\n\0\n.\n",
    b"\r\0\n.\r\n",
)
