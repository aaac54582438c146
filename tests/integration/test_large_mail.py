"""A mail of 50 MB through the real server: what it takes of a worker's memory, and that it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import re
import smtplib
from pathlib import Path

from services.smtp import open_mail_store
from tests.integration.conftest import TIMEOUT, ServeApp
from tests.support.servers import running_redis

MEGABYTES = 50
LINE = b"x" * 62 + b"\r\n"

BOUND = 16 * 1024
"""Kilobytes beside the event itself, which RoadRunner hands over as one of up to the mail's size, since it only cuts
where a read ends in a line feed: what `tests/services/smtp/test_memory.py` lists, an eighth of the event by which its
buffer may be too large while it grows, which is not touched, and the code that the first mail loads."""


def peak_memory(pid: int) -> int:
    """The most kilobytes that a process ever had in memory."""
    [value] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(value)


def test_a_worker_holds_a_large_mail_once_at_most(serve: ServeApp, tmp_path: Path) -> None:
    mails, text = f"sqlite:///{tmp_path}/mail.db", LINE * (MEGABYTES * 1024 * 1024 // len(LINE))
    with running_redis(tmp_path) as server:
        env = {"SESSION_STORE": server.url, "MAIL_STORE": mails, "SMTP_MAX_SIZE": str(len(text))}
        served = serve("workers.smtp:build_app", "smtp", env=env)
        before = {pid: peak_memory(pid) for pid in served.pids()}
        with smtplib.SMTP("127.0.0.1", served.ports["smtp"], timeout=3 * TIMEOUT) as client:
            assert client.sendmail("a@x.test", ["b@y.test"], text) == {}
        grown = [peak_memory(pid) - before[pid] for pid in served.pids()]  # the same ones: none was killed
    assert max(grown) < MEGABYTES * 1024 + BOUND, grown
    with contextlib.closing(open_mail_store(mails, create=False)) as store:
        [info] = store.mails()
        assert (info.size, info.sha256) == (len(text), hashlib.sha256(text).hexdigest())
