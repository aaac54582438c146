"""The real Prometheus, with the configuration that Compose gives it, on a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from rr_tcp.testing import free_ports
from tests.support.waiting import wait_until

CONFIGURATION: Final = Path(__file__).resolve().parents[2] / "deploy/observability/prometheus"


def find_binary(name: str) -> str:
    """`prometheus` or `promtool`: beside PROMETHEUS, or on PATH."""
    prometheus = os.environ.get("PROMETHEUS", "prometheus")
    binary = shutil.which(str(Path(prometheus).with_name(name)) if "/" in prometheus else name)
    if binary is None:
        pytest.fail(f"there is no {name}: scripts/get-prometheus gets one, or PROMETHEUS names it")
    return binary


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running server.

    Attributes:
        url: of its API.
    """

    url: str

    def get(self, path: str, **parameters: str | float) -> Any:
        """The data of an answer of the API; what Prometheus refuses fails the test with its words."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:  # noqa: S310 - ours
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{path} with {parameters}: {error.read().decode()}")

    def series(self, expression: str, start: float, *, step: float = 1.0) -> dict[str, list[tuple[float, float]]]:
        """The samples of an expression since a time, by the labels of each series; without those that are no number."""
        answer = self.get("query_range", query=expression, start=start, end=time.time(), step=step)
        found = {
            ", ".join(f"{name}={value}" for name, value in sorted(each["metric"].items())): [
                (float(at), float(value)) for at, value in each["values"] if value not in {"NaN", "+Inf", "-Inf"}
            ]
            for each in answer["result"]
        }
        return {labels: samples for labels, samples in found.items() if samples}


@contextlib.contextmanager
def running_prometheus(directory: Path, target: str) -> Iterator[Prometheus]:
    """A server that scrapes one target, `host:port`, each second.

    All else is as in Compose, where the targets are what a name on Compose's network stands for.
    """
    (port,) = free_ports(1)
    configuration = yaml.safe_load((CONFIGURATION / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(CONFIGURATION / name) for name in configuration["rule_files"]]
    (job,) = configuration["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [target]}]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    command = [
        find_binary("prometheus"),
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/prometheus",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        assert process.poll() is None, (directory / "prometheus.log").read_text()
        with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(f"{url}/-/ready", timeout=5):  # noqa: S310 - ours
            return True
        return False

    try:
        wait_until(ready, "Prometheus")
        yield Prometheus(url)
    finally:
        process.terminate()
        process.wait()
