"""A Prometheus inside a cluster finds the pods of deploy/kubernetes, and the alerts know them."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.project.test_kubernetes import OVERLAYS, PORTS, rendered, the
from tests.support.prometheus import CONFIGURATION, find_binary

FILE = CONFIGURATION / "kubernetes.yml"
TIME = "10s"
"""All of it is what promtool takes for any discovery; that of a file is done at once."""


def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def promtool(*args: str | Path) -> str:
    done = subprocess.run([find_binary("promtool"), *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def discovered(address: str, pod: dict[str, Any], phase: str = "Running") -> list[dict[str, Any]]:
    """What Kubernetes' service discovery of role `pod` makes of a pod: a target for each port (Prometheus 2.42)."""
    meta = {
        "pod_name": f"stack-{address}",
        "pod_phase": phase,
        **{f"pod_label_{key}": value for key, value in pod["metadata"]["labels"].items()},
        **{f"pod_annotation_{key}": value for key, value in pod["metadata"].get("annotations", {}).items()},
    }
    labels = {f"__meta_kubernetes_{key}".translate(str.maketrans("./-", "___")): value for key, value in meta.items()}
    [container] = pod["spec"]["containers"]
    return [
        {
            "targets": [f"{address}:{port['containerPort']}"],
            "labels": labels | {"__meta_kubernetes_pod_container_port_name": port["name"]},
        }
        for port in container["ports"]
    ]


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The labels of the targets that Prometheus itself keeps of a pod of production and of pods that are like it.

    The pods come from a file, since Debian's Prometheus is built without Kubernetes' discovery.
    """
    ours = the(rendered("production"), "Deployment")["spec"]["template"]
    silent, other = copy.deepcopy(ours), copy.deepcopy(ours)
    del silent["metadata"]["annotations"]["prometheus.io/scrape"]
    other["metadata"]["labels"]["app.kubernetes.io/component"] = "relay"
    directory = tmp_path_factory.mktemp("prometheus")
    targets = [
        *discovered("192.0.2.1", ours),
        *discovered("192.0.2.2", ours, phase="Failed"),
        *discovered("192.0.2.3", silent),
        *discovered("192.0.2.4", other),
    ]
    (directory / "targets.json").write_text(json.dumps(targets))
    job = from_a_file(directory / "targets.json")
    (directory / "config.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    answer = promtool("check", "service-discovery", f"--timeout={TIME}", directory / "config.yml", job["job_name"])
    found = json.loads(answer)
    assert len(found) == len(targets), "not all pods were looked at"
    return [each["labels"] for each in found if each.get("labels")]


def from_a_file(targets: Path) -> dict[str, Any]:
    """The job, with another discovery."""
    [job] = config()["scrape_configs"]
    del job["kubernetes_sd_configs"]
    return {**job, "file_sd_configs": [{"files": [str(targets)]}]}


def test_prometheus_reads_all_of_its_configuration_but_the_discovery(tmp_path: Path) -> None:
    shutil.copy(CONFIGURATION / "alerts.yml", tmp_path)
    changed = config() | {"scrape_configs": [from_a_file(tmp_path / "targets.json")]}
    (tmp_path / "config.yml").write_text(yaml.safe_dump(changed))
    assert "rules found" in promtool("check", "config", tmp_path / "config.yml")


def test_it_looks_where_production_is() -> None:
    [job] = config()["scrape_configs"]
    namespace = the(rendered("production"), "Deployment")["metadata"]["namespace"]
    assert job["kubernetes_sd_configs"] == [{"role": "pod", "namespaces": {"names": [namespace]}}]


def test_the_metrics_page_of_a_running_pod_of_ours_is_scraped_and_nothing_else(scraped: list[dict[str, str]]) -> None:
    assert [labels["__address__"] for labels in scraped] == [f"192.0.2.1:{PORTS['metrics']}"]
    assert scraped[0]["pod"] == "stack-192.0.2.1"


def test_it_has_the_job_that_the_alerts_ask_for(scraped: list[dict[str, str]]) -> None:
    asked = set(re.findall(r'job="([^"]*)"', (CONFIGURATION / "alerts.yml").read_text()))
    assert {labels["job"] for labels in scraped} == asked


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_prometheus_that_goes_by_the_common_annotations_finds_the_page(overlay: str) -> None:
    annotations = the(rendered(overlay), "Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORTS["metrics"])}
