"""`rr-tcp reap` beside the workers of the real server: what it closes, and that nothing stops it for good."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from rr_tcp.plugins.informer import Informer
from rr_tcp.stores import open_store
from rr_tcp.testing import ServedApp
from tests.integration.conftest import ServeApp, connect, process_exists, receive_all
from tests.integration.limited import AGE, IDLE, NO_HURRY
from tests.integration.test_cli import ask, rr_tcp
from tests.support.servers import running_redis
from tests.support.waiting import wait_until

APP = "tests.integration.limited:build_app"
REAP = ("--every", "0.5", "--grace", "2")

SLACK = 10.0
"""Seconds beyond a limit: the tenth of it, the reaper's round, and what a slow machine under load takes."""


@pytest.fixture(params=["lmdb", "redis"])
def session_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "lmdb":
        yield f"lmdb://{tmp_path}/sessions"
        return
    with running_redis(tmp_path) as server:
        yield server.url


@pytest.fixture
def served(serve: ServeApp, session_store: str) -> ServedApp:
    return serve(APP, "counter", env={"SESSION_STORE": session_store}, reap=REAP)


def sessions(url: str) -> list[str]:
    """The uuids of all sessions of open connections."""
    with contextlib.closing(open_store(url)) as store:
        return [session.key for session in store.scan().sessions]


def reaper_pid(served: ServedApp) -> int:
    [reaper] = Informer(served.rpc).workers("service") or []
    return reaper.pid


def seconds_until_closed(client: socket.socket, since: float, *, limit: float) -> float:
    client.settimeout(limit + SLACK)
    assert receive_all(client) == b""
    return time.monotonic() - since


def test_who_is_idle_goes_and_who_is_not_stays_until_its_age(served: ServedApp, session_store: str) -> None:
    """The counter's state changes with each line; `uuid` leaves it as it is, so that not every event is saved."""
    began = time.monotonic()
    with (
        connect(served.ports["counter"]) as silent,
        connect(served.ports["counter"]) as trickling,
        connect(served.ports["counter"]) as busy,
    ):
        closed = dict[str, float]()
        while _keep_busy(busy):
            with contextlib.suppress(ConnectionError):
                trickling.sendall(b".")  # no line: RoadRunner keeps it to itself
            for name, client in (("silent", silent), ("trickling", trickling)):
                if name not in closed and _is_closed(client):
                    closed[name] = time.monotonic() - began
            time.sleep(0.2)
        assert AGE < time.monotonic() - began < AGE + SLACK, "when a connection that was never idle was closed"
    assert closed.keys() == {"silent", "trickling"}
    assert all(IDLE < seconds < IDLE + SLACK for seconds in closed.values()), closed
    wait_until(lambda: not sessions(session_store))


def _keep_busy(client: socket.socket) -> bool:
    """Whether a line is answered."""
    try:
        client.sendall(b"uuid\n")
        return len(client.recv(100)) == 37
    except ConnectionError:
        return False


def _is_closed(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(100) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_a_session_without_a_connection_is_removed(served: ServedApp, session_store: str) -> None:
    """Its worker died in mid-event, and RoadRunner reports no CLOSE then. Nor does one of a server that is gone."""
    with connect(served.ports["counter"]) as client:
        assert ask(client) == 1
        with contextlib.closing(open_store(session_store)) as store:
            store.save(elsewhere := str(uuid.uuid4()), b"state", ttl=600, server="counter")
        left = set(sessions(session_store))
        assert len(left) >= 2
        client.sendall(b"exit\n")
        assert receive_all(client) == b""
    assert elsewhere in left
    assert left & set(sessions(session_store)), "the death of the worker ended its session: nothing is tested"
    wait_until(lambda: not sessions(session_store), timeout=IDLE + 2 + SLACK)


def test_a_connection_whose_session_vanished_is_closed(served: ServedApp, session_store: str) -> None:
    """Here it was deleted; a store that lost its data comes to the same. Nothing but its absence tells of it."""
    with connect(served.ports["counter"]) as client, connect(served.ports["counter"]) as idle:
        client.sendall(b"uuid\n")
        key = client.recv(100).decode().strip()
        while not _is_closed(idle):  # from then on the reaper knows of both
            assert _keep_busy(client)
            time.sleep(0.1)
        with contextlib.closing(open_store(session_store)) as store:
            store.delete(key)
        wait_until(lambda: _is_closed(client), timeout=SLACK)


@pytest.mark.parametrize("session_store", ["lmdb"], indirect=True)
def test_a_reaper_that_is_killed_comes_back_and_goes_on(served: ServedApp) -> None:
    first = reaper_pid(served)
    began = time.monotonic()
    with connect(served.ports["counter"]) as client:
        os.kill(first, signal.SIGKILL)
        assert seconds_until_closed(client, began, limit=IDLE) > IDLE
    assert reaper_pid(served) != first


def test_a_reset_of_the_workers_does_not_disturb_it(serve: ServeApp, tmp_path: Path) -> None:
    """Nobody is heard during a reset, and who is not heard is idle: so the limit is longer here."""
    served = serve(APP, "patient", env={"SESSION_STORE": f"lmdb://{tmp_path}/sessions"}, reap=REAP)
    reaper, began = reaper_pid(served), time.monotonic()
    with connect(served.ports["patient"]) as idle, connect(served.ports["patient"]) as busy:
        assert ask(busy) == 1
        assert rr_tcp("reset", served=served).returncode == 0
        assert ask(busy) == 2
        assert seconds_until_closed(idle, began, limit=NO_HURRY) > NO_HURRY
    assert reaper_pid(served) == reaper


@pytest.mark.parametrize("session_store", ["lmdb"], indirect=True)
def test_it_ends_with_its_server_however_that_ends(served: ServedApp) -> None:
    reaper = reaper_pid(served)
    served.server.kill()
    wait_until(lambda: not process_exists(reaper), "the end of the reaper")


def test_with_roadrunner_kv_it_says_once_that_it_cannot_and_the_service_works(serve: ServeApp) -> None:
    served = serve(APP, "counter", env={"SESSION_STORE": "rrkv://sessions"}, reap=REAP)
    wait_until(lambda: "no connection is looked after" in served.log.read_text(), "the reaper's word")
    reaper = reaper_pid(served)
    with connect(served.ports["counter"]) as client:
        began, count = time.monotonic(), 0
        while time.monotonic() - began < 2.0:  # some rounds
            assert ask(client) == (count := count + 1)
    assert served.log.read_text().count("no connection is looked after") == 1
    assert reaper_pid(served) == reaper
