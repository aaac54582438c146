"""Workers that are killed: an acknowledged mail is there once, an unacknowledged one at most once, never a part."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.clients import TIMEOUT, RawClient, dot_stuffed, echo_lines
from tests.e2e.targets import Target

CLIENTS = 4
MAILS = 25  # of each client
KILLS = 10


def test_killed_workers_lose_no_acknowledged_mail_and_store_nothing_half(stack: Target) -> None:
    recipient = f"crash-{uuid.uuid4().hex}@example.test"
    contents = {name: _content(name) for name in range(CLIENTS * MAILS)}
    done = threading.Event()
    acknowledged: set[int] = set()

    def deliver(first: int) -> None:
        for name in range(first, first + MAILS):
            if _deliver(stack, recipient, contents[name]):
                acknowledged.add(name)

    def kill_workers() -> int:
        kills = 0
        while kills < KILLS or not done.is_set():
            kills += _kill_a_worker(stack)
            if kills >= 10 * KILLS:
                break
        return kills

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        killer = pool.submit(kill_workers)
        for delivery in [pool.submit(deliver, client * MAILS) for client in range(CLIENTS)]:
            delivery.result()
        done.set()
        kills = killer.result()
    assert kills >= KILLS

    digests = {hashlib.sha256(content).hexdigest(): name for name, content in contents.items()}
    stored = [digests[mail["sha256"]] for mail in stack.mails() if recipient in mail["rcpt_tos"]]
    assert len(stored) == len(set(stored)), "a mail is stored twice"
    assert acknowledged <= set(stored), "an acknowledged mail is lost"
    broken = len(contents) - len(acknowledged)
    # The connection whose event the worker had, and one that was handed to it before RoadRunner missed it.
    assert broken <= 2 * kills, f"{kills} kills broke {broken} connections"


def test_a_connection_between_two_events_survives_the_death_of_every_worker(stack: Target) -> None:
    recipient = f"survivor-{uuid.uuid4().hex}@example.test"
    content = b"the text comes after the crash\r\n"
    with RawClient(stack.smtp) as client:
        client.reply()
        client.command(b"EHLO c")
        client.command(b"MAIL FROM:<a@example.test>")
        client.command(b"RCPT TO:<%s>" % recipient.encode())
        assert client.command(b"DATA")[:3] == b"354"
        old = _workers(stack)
        for pid in old:
            stack.signal_worker(pid, signal.SIGKILL)
        # RoadRunner may hand an event to a dead worker that it has not missed yet; that event's connection is closed.
        _wait_for_other_workers(stack, old)
        client.send(dot_stuffed(content))
        assert client.reply()[:3] == b"250"
    [mail] = [mail for mail in stack.mails() if recipient in mail["rcpt_tos"]]
    assert stack.mail(mail["id"]) == content


def _content(name: int) -> bytes:
    lines = [b"mail %d" % name, *(os.urandom(400).hex().encode() for _ in range(10))]
    return b"".join(line + b"\r\n" for line in lines)


def _deliver(stack: Target, recipient: str, content: bytes) -> bool:
    """Whether the mail was acknowledged; a connection that broke is an answer too, and the client's to retry."""
    head = b"EHLO c\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<%s>\r\nDATA\r\n" % recipient.encode()
    try:
        with RawClient(stack.smtp) as client:
            client.send(head, *dot_stuffed(content).splitlines(keepends=True))
            replies = [client.reply() for _ in range(6)]
    except ConnectionError:
        return False
    return replies[-1][:3] == b"250"


def _workers(stack: Target) -> set[int]:
    with RawClient(stack.echo) as client:
        return {answer["worker"] for answer in echo_lines(client, [b"who"] * 50)}


def _wait_for_other_workers(stack: Target, old: set[int]) -> None:
    """Until no answer comes from the old workers and none is lost on one."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        with contextlib.suppress(ConnectionError, ValueError):  # the connection was handed to a dead worker
            if old.isdisjoint(_workers(stack)):
                return
        assert time.monotonic() < deadline, "the pool is not whole again"


def _kill_a_worker(stack: Target) -> bool:
    try:
        with RawClient(stack.echo) as client:
            [answer] = echo_lines(client, [b"who"])
    except (ConnectionError, ValueError):  # our own connection was on the worker that died last
        return False
    stack.signal_worker(answer["worker"], signal.SIGKILL)
    return True
