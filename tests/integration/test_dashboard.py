"""Every query of the dashboard, and every alert, on the real Prometheus that scrapes the real stack under load."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from rr_tcp.plugins.informer import Informer
from rr_tcp.rpc import RPC
from tests.integration.observed import observed_stack, page, say_lines, send_mails
from tests.support.dashboard import Query, panels
from tests.support.prometheus import Prometheus, running_prometheus
from tests.support.servers import running_redis
from tests.support.waiting import wait_until

QUERIES = [pytest.param(query, id=f"{panel.title}: {query.legend}") for panel in panels() for query in panel.queries]


@dataclass(frozen=True, slots=True)
class Watched:
    """A stack that was used, and what Prometheus knows of it.

    Attributes:
        prometheus: scrapes it still.
        since: when it began, in seconds since the epoch.
    """

    prometheus: Prometheus
    since: float


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Mails and lines, a worker that is killed, a client that stays, and a session store that goes away at last."""
    directory, since = tmp_path_factory.mktemp("watched"), time.time()
    with running_redis(directory) as redis, observed_stack(directory, SESSION_STORE=redis.url) as stack:
        target = stack.metrics_url.removeprefix("http://").removesuffix("/metrics")
        # A worker that is killed before its first report was never counted.
        wait_until(lambda: page(stack).get("rr_tcp_worker_starts_total") == 2, "the first report of both workers")
        with running_prometheus(directory, target) as prometheus, contextlib.closing(RPC(stack.rpc_address)) as rpc:
            wait_until(lambda: bool(prometheus.series("up == 1", since)), "the first scrape")
            (victim, *_) = Informer(rpc).workers("tcp") or []
            os.kill(victim.pid, signal.SIGKILL)
            wait_until(lambda: page(stack).get("rr_tcp_worker_starts_total") == 3, "the victim's successor")
            # Only now: the connection of an event that the victim gets is closed.
            with socket.create_connection((stack.echo.host, stack.echo.port)):
                send_mails(stack, 20)
                say_lines(stack, 20)
                wait_until(lambda: page(stack).get("smtp_mails_accepted_total") == 20, "all mails on the page")
                wait_until(lambda: bool(prometheus.series("rr_tcp_open_connections > 0", since)), "the client")
                wait_until(lambda: bool(prometheus.series("smtp_mails_accepted_total == 20", since)), "all mails")
            redis.stop()
            with contextlib.suppress(OSError), socket.create_connection((stack.smtp.host, stack.smtp.port)) as client:
                while client.recv(4096):
                    pass
            wait_until(lambda: bool(prometheus.series("rr_tcp_event_errors_total > 0", since)), "the error")
            yield Watched(prometheus, since)


@pytest.mark.parametrize("query", QUERIES)
def test_every_panel_shows_what_happened(watched: Watched, query: Query) -> None:
    def above_zero() -> bool:
        series = watched.prometheus.series(query.expression, watched.since)
        return any(value > 0 for samples in series.values() for _, value in samples)

    wait_until(above_zero, f"a value above 0 of {query.expression}")


def test_prometheus_evaluates_every_alert(watched: Watched) -> None:
    def evaluated() -> bool:
        rules = [rule for group in watched.prometheus.get("rules")["groups"] for rule in group["rules"]]
        assert rules
        assert not [rule for rule in rules if rule.get("lastError")]
        return all(rule["health"] == "ok" for rule in rules)

    wait_until(evaluated, "the evaluation of all alerts")


def test_the_alert_for_the_session_store_fires_when_it_is_gone(watched: Watched) -> None:
    def fires() -> bool:
        alerts = watched.prometheus.get("alerts")["alerts"]
        return "SessionStoreFails" in {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    wait_until(fires, "the alert")
