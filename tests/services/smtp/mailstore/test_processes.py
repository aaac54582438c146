"""Many processes at one store, and processes that are killed in the middle of `add`."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from services.smtp import MailStore, open_mail_store
from services.smtp.mailstore.interface import PIECE
from tests.services.smtp.mailstore.samples import ROOT, add, mail_id

_WRITER = """
import sys
from datetime import UTC, datetime
from services.smtp import MailEnvelope, open_mail_store
from tests.services.smtp.mailstore.test_processes import pieces_of

url, first, count, size = sys.argv[1], *map(int, sys.argv[2:])
store = open_mail_store(url)
for number in range(first, first + count):
    envelope = MailEnvelope(
        id=f"{number:032}", mail_from="", rcpt_tos=("a@b",), received_at=datetime.now(UTC), peer=""
    )
    store.add(envelope, pieces_of(number, size))
    print(number, flush=True)
store.close()
"""

KILLS = 8

SEED = 1
"""Of the moments of the kills: they differ from run to run all the same, as the machine does."""


def pieces_of(number: int, size: int) -> list[bytes]:
    """The text of a mail of `size` bytes or a little more, in pieces, each of which names the mail."""
    return [b"%d\r\n" % number * 1000] * (size // 4000 + 1)


def writer(url: str, first: int, count: int, size: int) -> subprocess.Popen[bytes]:
    """A process that adds mails and prints the number of each once it is stored."""
    command = [sys.executable, "-c", _WRITER, url, *map(str, (first, count, size))]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def test_processes_that_start_at_once_make_one_store_and_lose_no_mail(url: str) -> None:
    writers = [writer(url, first, 50, 100) for first in range(0, 200, 50)]
    acknowledged = [number for process in writers for number in process.communicate(timeout=60)[0].split()]
    assert [process.returncode for process in writers] == [0, 0, 0, 0]
    with contextlib.closing(open_mail_store(url, create=False)) as store:
        assert {int(info.id) for info in store.mails()} == set(map(int, acknowledged)) == set(range(200))


@pytest.mark.parametrize("size", [4_000, 3 * PIECE])
def test_a_writer_that_is_killed_has_stored_what_it_acknowledged_and_nothing_by_halves(
    store: MailStore, url: str, size: int
) -> None:
    """With one piece, and with several, which a store takes in more than one step."""
    moments = random.Random(SEED)  # noqa: S311 - no secret
    acknowledged: set[int] = set()
    for round_number in range(KILLS):
        process = writer(url, 1000 * round_number, 1000, size)
        assert process.stdout is not None
        with process, process.stdout as printed:
            seen = [next(printed)]
            time.sleep(moments.uniform(0, 0.05))  # not a wait for anything: the kill has to come at any moment
            os.kill(process.pid, signal.SIGKILL)
            acknowledged |= set(map(int, [*seen, *printed.read().split()]))
    stored = {int(info.id): info for info in store.mails()}
    assert acknowledged <= set(stored)
    assert len(stored) <= len(acknowledged) + KILLS, "at most the mail in which each was killed"
    for number, info in stored.items():
        text = b"".join(store.read(info.id))
        assert text == b"".join(pieces_of(number, size))
        assert info.size == len(text)
    assert store.count().mails == len(stored)
    add(store, 10**6)
    assert store.get(mail_id(10**6)) is not None
