"""The panels of the dashboard that Grafana is given."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DASHBOARD: Final = Path(__file__).resolve().parents[2] / "deploy/observability/grafana/dashboards/stack.json"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Attributes:
        expression: for Prometheus.
        legend: how its series are called, with `{{label}}` for a label's value.
    """

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: what stands above it.
        unit: Grafana's name of the values' unit.
        queries: at least one.
    """

    title: str
    unit: str
    queries: tuple[Query, ...]


def panels() -> list[Panel]:
    """All of them, in order."""
    return [
        Panel(
            panel["title"],
            panel["fieldConfig"]["defaults"]["unit"],
            tuple(Query(target["expr"], target["legendFormat"]) for target in panel["targets"]),
        )
        for panel in json.loads(DASHBOARD.read_text())["panels"]
    ]
