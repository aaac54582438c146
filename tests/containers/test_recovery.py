"""What RoadRunner does not bound ends its container, which Docker starts again: mail is there, clients are served.

Docker restarts a container that ends, never one that is unhealthy. So running out of file descriptors, which ends a
listener and not the server, has to end the server (the watchdog), and a stream without LF is ended by the memory limit.
"""

from __future__ import annotations

import contextlib
import json
import smtplib
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.containers.project import PROJECT, Project, inspect, running
from tests.e2e.clients import RawClient
from tests.e2e.targets import Address
from tests.support.waiting import wait_until

RESTART_TIMEOUT = 120.0  # seconds; Docker waits a little longer before each restart
CLIENTS = 4
SPARE = 10  # file descriptors that the server may still open
MIB = 2**20
STREAM = 3 * 2**30  # bytes without LF at most; a third of it fills the container's 2 GiB

LIMIT_FILES = f"""
import os, pathlib, resource
for process in pathlib.Path("/proc").glob("[0-9]*"):
    if (process / "comm").read_text() == "rr\\n":
        limit = len(os.listdir(process / "fd")) + {SPARE}
        resource.prlimit(int(process.name), resource.RLIMIT_NOFILE, (limit, limit))
        print("limited")
"""


@pytest.fixture(scope="module")
def project(pytestconfig: pytest.Config) -> Iterator[Project]:
    terminal = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert terminal is not None
    with contextlib.ExitStack() as stack:
        with terminal.global_and_fixture_disabled():  # whoever waits sees the progress
            project = Project(f"{PROJECT}-recovery", profiles=[])
            stack.enter_context(running(project))
        yield project
        with terminal.global_and_fixture_disabled():
            stack.close()


def address(project: Project) -> Address:
    """Asked anew each time: a port that Docker chose is another after a restart."""
    return Address("127.0.0.1", int(project.compose("port", "stack", "1025").rpartition(":")[2]))


def restarts(project: Project) -> int:
    return int(inspect(project.container("stack"))["RestartCount"])


def send(project: Project, sender: str) -> None:
    """Returns when the mail is acknowledged."""
    where = address(project)
    with smtplib.SMTP(where.host, where.port, timeout=30) as client:
        client.sendmail(sender, ["b@example.test"], "Subject: hello\r\n\r\nHello\r\n")


def serves(project: Project, sender: str) -> bool:
    try:
        send(project, sender)
    except (OSError, smtplib.SMTPException, ValueError):  # it is being started
        return False
    return True


def senders(project: Project) -> list[str]:
    listed = project.compose("exec", "--no-TTY", "stack", "python", "-m", "services.smtp", "mails", "--json")
    return [mail["mail_from"] for mail in json.loads(listed)]


@pytest.fixture
def mail(project: Project) -> Iterator[str]:
    """The sender of a mail that was acknowledged before, and is there once in the end."""
    sender, after = (f"{what}-{uuid.uuid4().hex}@example.test" for what in ("before", "after"))
    send(project, sender)
    before = restarts(project)
    yield sender
    wait_until(lambda: restarts(project) > before, "a restart of the container", timeout=RESTART_TIMEOUT)
    wait_until(lambda: serves(project, after), "a served client", timeout=RESTART_TIMEOUT)
    assert [senders(project).count(each) for each in (sender, after)] == [1, 1]


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("mail")
def test_a_server_out_of_file_descriptors_is_started_again(project: Project) -> None:
    where = address(project)
    assert project.exec("stack", "python", "-c", LIMIT_FILES).stdout == "limited\n"
    with contextlib.ExitStack() as clients:
        for _ in range(2 * SPARE):
            clients.enter_context(RawClient(where))
        wait_until(
            lambda: "nobody accepts connections on port 1025" in project.compose("logs", "stack"),
            "the watchdog's word",
        )


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("mail")
def test_a_stream_without_end_fills_the_containers_memory_and_no_more(project: Project) -> None:
    chunk = b"x" * MIB
    with RawClient(address(project)) as client, contextlib.suppress(OSError):
        client.reply()
        for _ in range(0, STREAM, MIB):
            client.send(chunk)
        pytest.fail(f"RoadRunner took {STREAM // MIB} MiB without LF within its limit: is there none?")


@pytest.mark.timeout(400)
def test_a_container_that_is_stopped_under_load_ends_with_0_and_loses_nothing(project: Project) -> None:
    container, acknowledged, stop = project.container("stack"), list[str](), threading.Event()

    def deliver(name: int) -> None:
        number = 0
        while not stop.is_set():
            sender, number = f"stopped-{name}-{number}-{uuid.uuid4().hex}@example.test", number + 1
            with smtplib.SMTP(where.host, where.port, timeout=30) as client:
                client.sendmail(sender, ["b@example.test"], "Subject: hello\r\n\r\nHello\r\n")
                acknowledged.append(sender)

    where = address(project)
    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [threads.submit(deliver, name) for name in range(CLIENTS)]
        wait_until(lambda: len(acknowledged) > 10 * CLIENTS, "some mails")
        project.compose("stop", "stack")
        stop.set()
        for client in clients:  # each went on until it met the end
            assert isinstance(client.exception(), OSError)
    assert inspect(container)["State"]["ExitCode"] == 0
    project.compose("start", "stack")
    wait_until(lambda: serves(project, "again@example.test"), "a served client", timeout=RESTART_TIMEOUT)
    stored = Counter(senders(project))
    assert [sender for sender in acknowledged if stored[sender] != 1] == []
