"""Consumers as processes: nothing is lost and nothing done twice without need, however they end."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.integration.consumers import consumer
from tests.services.smtp.forward.harness import Mails
from tests.services.smtp.forward.receiver import SECRET, running_receiver
from tests.services.smtp.forward.smarthost import running_sink
from tests.support.servers import running_redis
from tests.support.waiting import wait_until

CHANCE = random.Random(1)  # noqa: S311 - nobody has to be kept from guessing it

CONCURRENCY = 4
SLOWEST = 0.02
"""Seconds that the other side takes for a mail at most, so that something is always under way."""


class Destination(Protocol):
    """Where mails are handed on to."""

    command: str
    env: dict[str, str]

    @property
    def came(self) -> Counter[str]:
        """How often each mail came, by its recipient."""


class SinkDestination:
    command = "relay"

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._sink = stack.enter_context(running_sink())
        self._sink.hold = lambda: time.sleep(CHANCE.uniform(0, SLOWEST))
        self.env = {"RELAY_URL": f"smtp://127.0.0.1:{self._sink.port}"}

    @property
    def came(self) -> Counter[str]:
        return self._sink.deliveries


class ReceiverDestination:
    command = "webhook"

    def __init__(self, stack: contextlib.ExitStack, directory: Path) -> None:
        self._receiver = stack.enter_context(running_receiver(lambda: time.sleep(CHANCE.uniform(0, SLOWEST))))
        secret = directory / "secret"
        secret.write_text(SECRET)
        self.env = {"WEBHOOK_URL": self._receiver.url, "WEBHOOK_SECRET_FILE": str(secret)}

    @property
    def came(self) -> Counter[str]:
        return Counter(call.data["rcpt_tos"][0] for call in list(self._receiver.calls))


@pytest.fixture(params=["sqlite", "redis", "maildir"])
def mails(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mails]:
    """A store of each kind, with a queue that begins with its first mail."""
    with contextlib.ExitStack() as stack:
        match request.param:
            case "sqlite":
                url = f"sqlite:///{tmp_path}/mail.db"
            case "maildir":
                url = f"maildir:///{tmp_path}/mail"
            case _:
                url = stack.enter_context(running_redis(tmp_path)).url
        yield stack.enter_context(contextlib.closing(Mails(url)))


@pytest.fixture(params=["relay", "webhook"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    """Each of them, for real."""
    with contextlib.ExitStack() as stack:
        yield SinkDestination(stack) if request.param == "relay" else ReceiverDestination(stack, tmp_path)


def settings(mails: Mails, destination: Destination) -> dict[str, str]:
    return {
        "MAIL_STORE": mails.url,
        "DELIVERY_CONCURRENCY": str(CONCURRENCY),
        "DELIVERY_LEASE": "1",  # so that what a killed consumer had under way comes again soon
        **destination.env,
    }


def add(mails: Mails, count: int) -> set[str]:
    """Stores so many mails, each to another recipient, and returns those."""
    recipients = {f"to{number}@b.test" for number in range(count)}
    for recipient in recipients:
        mails.add(recipient)
    return recipients


def command(destination: Destination) -> list[str]:
    return [destination.command, "--group", "relay"]


def some(mails: Mails, destination: Destination, count: int) -> None:
    """Waits until so many more mails came, or there are no more."""
    before = destination.came.total()
    wait_until(lambda: destination.came.total() >= before + count or not mails.left, "some mails")


@pytest.mark.timeout(300)  # twenty starts of Python
def test_kills_lose_nothing_and_double_only_what_was_under_way(
    mails: Mails, destination: Destination, tmp_path: Path
) -> None:
    kills = 20
    recipients = add(mails, 400)
    env = settings(mails, destination)
    for part in CHANCE.choices(range(2, 15), k=kills):
        with consumer(command(destination), env, tmp_path / "log") as running:
            some(mails, destination, part)
            assert mails.left, "there were too few mails"
            running.end(signal.SIGKILL)
    with consumer(command(destination), env, tmp_path / "log") as running:
        wait_until(lambda: mails.left == 0, "an empty queue")
        assert running.end(signal.SIGTERM) == 0
    came = destination.came
    assert came.keys() == recipients
    assert came.total() - len(recipients) <= kills * CONCURRENCY


@pytest.mark.timeout(300)  # as above
def test_orderly_ends_double_nothing(mails: Mails, destination: Destination, tmp_path: Path) -> None:
    recipients = add(mails, 150)
    env = settings(mails, destination)
    ends = 0
    while mails.left:
        with consumer(command(destination), env, tmp_path / "log") as running:
            some(mails, destination, 10)
            assert running.end(signal.SIGTERM if ends % 2 else signal.SIGINT) == 0, str(running)
            ends += 1
    assert ends > 5, "it was hardly ever under load when it ended"
    assert destination.came == dict.fromkeys(recipients, 1)


def test_two_consumers_share_the_work(mails: Mails, destination: Destination, tmp_path: Path) -> None:
    env = settings(mails, destination)
    with (
        consumer(command(destination), env, tmp_path / "one.log") as one,
        consumer(command(destination), env, tmp_path / "two.log") as two,
    ):
        recipients = add(mails, 100)
        wait_until(lambda: mails.left == 0, "an empty queue")
        assert [one.end(signal.SIGTERM), two.end(signal.SIGTERM)] == [0, 0]
    assert destination.came == dict.fromkeys(recipients, 1)
    assert str(one).count("delivered") + str(two).count("delivered") == len(recipients)


def test_one_round_hands_on_what_is_due_and_ends(mails: Mails, destination: Destination, tmp_path: Path) -> None:
    recipients = add(mails, 10)
    with consumer([*command(destination), "--once"], settings(mails, destination), tmp_path / "log") as running:
        assert running.process.wait(30) == 0, str(running)
    assert destination.came == dict.fromkeys(recipients, 1)
    assert mails.left == 0


def test_a_new_queue_begins_with_the_next_mail_or_with_all(
    mails: Mails, destination: Destination, tmp_path: Path
) -> None:
    add(mails, 3)
    env = settings(mails, destination)
    for options in (["--group", "next"], ["--group", "all", "--all"]):
        with consumer([destination.command, *options, "--once"], env, tmp_path / "log") as running:
            assert running.process.wait(30) == 0, str(running)
        assert destination.came.total() == (3 if "--all" in options else 0)


@pytest.mark.parametrize("name", ["relay", "webhook"])
def test_a_setting_that_is_missing_is_an_error_without_a_traceback(name: str, tmp_path: Path) -> None:
    with consumer([name], {"MAIL_STORE": f"sqlite:///{tmp_path}/mail.db"}, tmp_path / "log") as running:
        assert running.process.wait(30) == 1
    assert str(running).startswith(f"{name.upper()}_URL is not set: give ")
    assert len(str(running).splitlines()) == 1
    assert not (tmp_path / "mail.db").exists()
