"""Messages that servers got wrong."""

from __future__ import annotations

CORPUS: dict[str, bytes] = {
    "empty": b"",
    "blank line": b"\r\n",
    "plain": b"Subject: hello\r\n\r\nHello,\r\nworld\r\n",
    "no header": b"just a line\r\n",
    "dots": b".\r\n..\r\n...\r\n.a\r\na.\r\n",
    "dot first": b".first\r\n\r\n.\r\n",
    "commands in the body": b"\r\nQUIT\r\nRSET\r\nMAIL FROM:<x@y.test>\r\nDATA\r\n",
    "eight bits": "Subject: \u00fc\r\n\r\n\u20ac \u00e9\r\n".encode(),
    "not UTF-8": b"\r\n\xff\xfe\x80\r\n",
    "trailing blank lines": b"a\r\n\r\n\r\n\r\n",
}
