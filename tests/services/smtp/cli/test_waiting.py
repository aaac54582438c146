"""`wait`: the mail that a test's code under test sends."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.smtp import MailInfo, MailStore, open_mail_store
from services.smtp.cli.filters import Filter
from services.smtp.cli.waiting import INTERVAL
from services.smtp.mailstore.interface import PIECE
from tests.services.smtp.cli.runs import run
from tests.services.smtp.mailstore.samples import ROOT, envelope, mail_id
from tests.support.servers import running_redis
from tests.support.waiting import wait_until

TEXT = b"Subject: reset your password\r\n\r\n\xff\x00 bytes\r\n"

TO = "one@b.test"


@pytest.fixture(params=["sqlite", "maildir", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Names a store that does not exist yet, of each kind."""
    if request.param == "redis":
        with running_redis(tmp_path) as server:
            yield server.url
    else:
        yield f"{request.param}:///{tmp_path}/new"


@pytest.fixture
def store(url: str) -> Iterator[MailStore]:
    with contextlib.closing(open_mail_store(url)) as opened:
        yield opened


@pytest.fixture
def while_waiting(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Does something when the command has looked once and found nothing, in the place of its pause."""

    def do(action: Callable[[], object]) -> None:
        def pause(seconds: float) -> None:
            assert 0 < seconds <= INTERVAL
            action()

        monkeypatch.setattr(time, "sleep", pause)

    return do


def test_a_mail_that_is_there_is_printed_at_once_byte_for_byte(store: MailStore, url: str) -> None:
    store.add(envelope(0), (TEXT,))
    store.add(envelope(1), (b"Subject: reset again\r\n\r\n",))
    assert run("--store", url, "wait", "--to", TO, "--subject", "RESET your") == (0, TEXT, "")


def test_its_envelope_is_json_on_demand(store: MailStore, url: str) -> None:
    info = store.add(envelope(0), (TEXT,))
    code, output, _ = run("--store", url, "wait", "--to", TO, "--json")
    assert code == 0
    row = json.loads(output)
    assert (row["id"], row["sha256"], row["rcpt_tos"][0]) == (info.id, info.sha256, TO)


def test_a_mail_that_comes_later_is_printed_when_it_comes(
    store: MailStore, url: str, while_waiting: Callable[[Callable[[], object]], None]
) -> None:
    store.add(envelope(0), (b"Subject: something else\r\n\r\n",))
    pauses = iter(range(100))
    while_waiting(lambda: store.add(envelope(1 + next(pauses)), (TEXT,)))
    code, output, _ = run("--store", url, "wait", "--subject", "password", "--json")
    assert (code, json.loads(output)["id"]) == (0, mail_id(1))


def test_a_mail_that_was_there_is_none_on_demand(
    store: MailStore, url: str, while_waiting: Callable[[Callable[[], object]], None]
) -> None:
    store.add(envelope(0), (TEXT,))
    pauses = iter(range(100))
    while_waiting(lambda: store.add(envelope(1 + next(pauses)), (TEXT,)))
    code, output, _ = run("--store", url, "wait", "--subject", "password", "--new", "--json")
    assert (code, json.loads(output)["id"]) == (0, mail_id(1))


def test_each_mail_is_looked_at_once(
    store: MailStore,
    url: str,
    while_waiting: Callable[[Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at: list[str] = []
    matches = Filter.matches

    def watched(self: Filter, store: MailStore, info: MailInfo) -> bool:
        looked_at.append(info.id)
        return matches(self, store, info)

    monkeypatch.setattr(Filter, "matches", watched)
    pauses = iter(range(100))
    while_waiting(lambda: store.add(envelope(number := next(pauses)), (TEXT if number == 5 else b"\r\n",)))
    code, *_ = run("--store", url, "wait", "--subject", "password")
    assert code == 0
    assert looked_at == [mail_id(number) for number in range(6)]


def test_no_mail_in_time_is_a_failure_that_says_so(store: MailStore, url: str) -> None:
    store.add(envelope(0), (TEXT,))
    started = time.monotonic()
    code, output, errors = run("--store", url, "wait", "--to", "nobody@b.test", "--subject", "x", "--timeout", "0.3")
    assert time.monotonic() - started >= 0.3
    assert (code, output) == (1, b"")
    assert errors.startswith("no mail to 'nobody@b.test' with the subject 'x' was there or came within 0.3 s")
    code, _, errors = run("--store", url, "wait", "--new", "--timeout", "0")
    assert (code, errors.startswith("no mail came within 0 s")) == (1, True)


def test_a_store_that_is_made_meanwhile_will_do(
    url: str, while_waiting: Callable[[Callable[[], object]], None]
) -> None:
    with contextlib.closing(open_mail_store(url)) as store:
        pauses = iter(range(100))
        while_waiting(lambda: store.add(envelope(next(pauses)), (TEXT,)))
        for option in ((), ("--new",)):
            assert run("--store", url, "wait", *option)[:2] == (0, TEXT)


def test_a_store_that_is_never_made_is_the_failure(url: str) -> None:
    code, output, errors = run("--store", url, "wait", "--timeout", "0.2")
    assert (code, output) == (1, b"")
    assert errors.startswith("there is no mail store")


@pytest.mark.parametrize("timeout", ["-1", "soon", "nan", "1e9"])
def test_a_timeout_that_is_none_is_a_wrong_command_line(url: str, timeout: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run("--store", url, "wait", "--timeout", timeout)
    assert ended.value.code == 2


def test_a_process_that_waits_sees_a_mail_of_another_process(store: MailStore, url: str, tmp_path: Path) -> None:
    """Mails come until one came after the process had begun to wait."""
    store.open()
    text = b"Subject: x\r\n\r\n" + b"y" * 2 * PIECE
    command = [sys.executable, "-m", "services.smtp", "--store", url, "wait", "--new", "--to", TO, "--timeout", "60"]
    numbers = itertools.count()
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output)

        def ended_after_one_more() -> bool:
            store.add(envelope(next(numbers)), (text,))
            return process.poll() is not None

        with process:
            wait_until(ended_after_one_more, "the end of the process")
    assert process.returncode == 0
    assert (tmp_path / "output").read_bytes() == text
