"""The files of the profile `observability`: what Prometheus and Grafana are given."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rr_tcp.observability import Distribution
from tests.project.test_metrics import METRICS, ROOT
from tests.support.dashboard import DASHBOARD, panels
from tests.support.prometheus import CONFIGURATION, find_binary

GRAFANA = ROOT / "deploy/observability/grafana"

OF_OTHERS = {
    "up",  # Prometheus' own, of every scrape
    "process_cpu_seconds_total",  # RoadRunner's metrics plugin registers Go's collectors (metrics v5.2.0)
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
}


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((CONFIGURATION / "alerts.yml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def names(expression: str) -> set[str]:
    """The metrics of an expression: the words that are no function, keyword, label or text."""
    bare = re.sub(r'"[^"]*"|\b(by|without|on|ignoring)\s*\([^)]*\)|\{[^}]*\}|\[[^]]*\]', " ", expression)
    return {word for word in re.findall(r"[a-z_]{2,}(?![a-z_]*\s*\()", bare) if "_" in word or word == "up"}


def expressions() -> list[str]:
    return [query.expression for panel in panels() for query in panel.queries] + [rule["expr"] for rule in alerts()]


def promtool(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find_binary("promtool"), *args], cwd=CONFIGURATION, capture_output=True, text=True, check=False
    )


def test_prometheus_reads_its_configuration() -> None:
    done = promtool("check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_fire_when_they_should_and_are_silent_otherwise() -> None:
    done = promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_firing_and_not_firing() -> None:
    cases = yaml.safe_load((CONFIGURATION / "alerts_test.yml").read_text())["tests"]
    seen = {(test["alertname"], bool(test["exp_alerts"])) for case in cases for test in case["alert_rule_test"]}
    assert seen == {(rule["alert"], fires) for rule in alerts() for fires in (True, False)}


def test_a_test_of_the_alerts_can_fail(tmp_path: Path) -> None:
    broken = (
        (CONFIGURATION / "alerts_test.yml").read_text().replace("exp_alerts: []", "exp_alerts: [{exp_labels: {a: b}}]")
    )
    (tmp_path / "alerts.yml").write_text((CONFIGURATION / "alerts.yml").read_text())
    (tmp_path / "broken.yml").write_text(broken)
    assert promtool("test", "rules", tmp_path / "broken.yml").returncode != 0


@pytest.mark.parametrize("expression", expressions())
def test_the_metrics_of_dashboard_and_alerts_exist(expression: str) -> None:
    known = {metric.name for metric in METRICS if not isinstance(metric, Distribution)} | OF_OTHERS
    for metric in METRICS:
        if isinstance(metric, Distribution):
            known |= {metric.buckets.name, metric.sum.name, metric.count.name}
    assert names(expression)
    assert names(expression) <= known


def test_every_metric_of_ours_is_in_the_dashboard_or_an_alert() -> None:
    used = {name for expression in expressions() for name in names(expression)}
    for metric in METRICS:
        assert any(name.startswith(metric.name) for name in used) or metric.name == "smtp_recipients_accepted_total"


def test_every_alert_is_described_in_the_docs() -> None:
    page = (ROOT / "docs/observability.md").read_text()
    assert [rule["alert"] for rule in alerts()] == re.findall(
        r"^\| `(\w+)` \| (?:critical|warning) \|", page, re.MULTILINE
    )


def test_the_dashboard_uses_the_data_source_that_is_provisioned() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    dashboard = json.loads(DASHBOARD.read_text())
    uids = {target["datasource"]["uid"] for panel in dashboard["panels"] for target in [panel, *panel["targets"]]}
    assert uids == {source["uid"]}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
