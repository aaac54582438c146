"""The table of metrics in docs/observability.md is that of the code."""

from __future__ import annotations

import re
from pathlib import Path

from rr_tcp.observability import Distribution, events, measured_store, pool
from rr_tcp.plugins.collectors import Counter, Gauge
from services.smtp import metrics as smtp

ROOT = Path(__file__).resolve().parents[2]

METRICS = [
    value
    for module in (events, measured_store, pool, smtp)
    for value in vars(module).values()
    if isinstance(value, Counter | Gauge | Distribution)
]


def test_the_table_of_metrics_is_complete_and_right() -> None:
    page = (ROOT / "docs/observability.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", page, re.MULTILINE))
    described = {
        (
            metric.name,
            "histogram" if isinstance(metric, Distribution) else metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.help,
        )
        for metric in METRICS
    }
    assert documented == described


def test_names_are_as_prometheus_has_them() -> None:
    """Base units, counters end in _total, a namespace of ours."""
    for metric in METRICS:
        assert re.fullmatch(r"(rr_tcp|smtp)(_[a-z]+)+", metric.name)
        assert metric.name.endswith("_total") == isinstance(metric, Counter), metric.name
        assert not re.search(r"_(milli|micro)?seconds?_|_ms$|_kb|_percent", metric.name)
        assert metric.help.endswith(".")
