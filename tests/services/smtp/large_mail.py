"""Run as a program: one worker's App receives a mail of so many megabytes, and tells what memory that took.

Its arguments: megabytes, bytes per event, URL of the session store, URL of the mail store.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from rr_tcp import App
from rr_tcp.stores import open_store
from rr_tcp.testing import ConnectionDriver
from services.smtp import Limits, SmtpProtocol, SmtpSettings

LINE = b"x" * 62 + b"\r\n"


def peak_memory() -> int:
    """The most kilobytes that this process ever had in memory."""
    [value] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(value)


def main(megabytes: int, event: int, sessions: str, mails: str) -> int:
    """Kilobytes that receiving the mail added to the peak, beyond one event, which the test itself holds."""
    app = App(store=open_store(sessions))
    protocol = SmtpProtocol(SmtpSettings(mail_store=mails, limits=Limits(message=1 << 30)))
    app.add("smtp", protocol)
    client = ConnectionDriver(app, "smtp")
    client.connect()
    envelope = b"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n"
    client.send(b"EHLO c.test\r\n" + envelope + b"warm up\r\n.\r\n" + envelope)
    block = LINE * (event // len(LINE))
    before = peak_memory()
    for _ in range((megabytes << 20) // event):
        client.send(block)
    reply = client.send(b".\r\n")
    assert reply.startswith(b"250 "), reply
    grown = peak_memory() - before
    app.close()
    protocol.close()
    return grown


if __name__ == "__main__":
    sys.stdout.write(f"{main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])}\n")
