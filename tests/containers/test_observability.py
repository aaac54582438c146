"""The profiles `edge` and `observability` together: a mail through TLS moves what Prometheus knows; the log is JSON."""

from __future__ import annotations

import json
import smtplib
import ssl
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.containers.project import PROJECT, Project, docker, running
from tests.support.waiting import wait_until

SCRAPES = 60.0
"""Seconds for a scrape, five seconds apart, to bring what happened."""


@pytest.fixture(scope="module")
def observed() -> Iterator[Project]:
    env = {"LOG_FORMAT": "json", "LOG_LEVEL": "INFO"}
    project = Project(f"{PROJECT}-observed", ["edge", "observability"], env)
    with running(project):
        yield project


def address(project: Project, service: str, port: int) -> tuple[str, int]:
    host, _, number = project.compose("port", service, str(port)).strip().rpartition(":")
    return host, int(number)


def query(project: Project, expression: str) -> list[dict[str, Any]]:
    host, port = address(project, "prometheus", 9090)
    parameters = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"http://{host}:{port}/api/v1/query?{parameters}", timeout=30) as answer:
        result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return result


def value(project: Project, expression: str) -> float:
    """The sum of an expression over all replicas; -1 while there is none."""
    found = query(project, f"sum({expression})")
    return float(found[0]["value"][1]) if found else -1.0


def test_a_mail_moves_the_dashboard(observed: Project) -> None:
    wait_until(lambda: value(observed, "smtp_mails_accepted_total") == 0, "the first scrape", timeout=SCRAPES)
    host, port = address(observed, "stack", 1025)
    with smtplib.SMTP(host, port, timeout=30) as client:
        client.sendmail("from@a.test", ["to@b.test"], "Subject: seen\r\n\r\nhello\r\n")
    wait_until(lambda: value(observed, "smtp_mails_accepted_total") == 1, "the mail", timeout=SCRAPES)
    _, port = address(observed, "edge", 1465)
    trust = observed.compose("exec", "--no-TTY", "edge", "cat", "/var/lib/haproxy/clients/ca.crt")
    context = ssl.create_default_context(cadata=trust)
    with smtplib.SMTP_SSL("localhost", port, timeout=30, context=context) as secure:
        secure.sendmail("from@a.test", ["to@b.test"], "Subject: seen\r\n\r\nhello\r\n")
    wait_until(lambda: value(observed, "smtp_mails_accepted_total") == 2, "the mail through TLS", timeout=SCRAPES)
    assert value(observed, 'rr_tcp_pool_workers{state="ready"}') == 2


def test_every_replica_is_a_target_and_once(observed: Project) -> None:
    def targets() -> int:
        return len(query(observed, 'up{job="stack"} == 1'))

    wait_until(lambda: targets() == 1, "the one replica", timeout=SCRAPES)
    observed.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "stack=2", "stack")
    wait_until(lambda: targets() == 2, "the second replica", timeout=SCRAPES)


def test_prometheus_has_no_alert_to_give(observed: Project) -> None:
    assert query(observed, 'ALERTS{alertstate="firing",severity="critical"}') == []


def test_every_line_of_the_stacks_log_is_json(observed: Project) -> None:
    """As Docker keeps it: some versions of Compose print a terminal's codes before a line."""
    records = []
    for container in observed.compose("ps", "--quiet", "stack").split():
        done = docker("logs", container)
        records += [json.loads(line) for line in (done.stdout + done.stderr).splitlines()]
    assert [record for record in records if record.get("result") == "stored"]
    assert "hello" not in str(records)
