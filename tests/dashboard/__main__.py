"""Starts the stack and Prometheus, uses the stack for a few minutes, and draws what every panel shows."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

from tests.dashboard.drawing import Chart, svg
from tests.dashboard.usage import Usage
from tests.integration.observed import observed_stack, page
from tests.support.dashboard import Panel, panels
from tests.support.prometheus import Prometheus, running_prometheus
from tests.support.servers import running_redis
from tests.support.waiting import wait_until

OUTPUT = Path(__file__).resolve().parents[2] / "docs/dashboard.svg"
SECONDS = 240.0


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.dashboard", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long the stack is used (default 240)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the picture (default docs/dashboard.svg)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        args.output.write_text(picture(Path(name), args.seconds))
    sys.stdout.write(f"{args.output}\n")
    return 0


def picture(directory: Path, seconds: float) -> str:
    """The drawing of a stack that was used for so many seconds."""
    with running_redis(directory) as redis, observed_stack(directory, SESSION_STORE=redis.url) as stack:
        wait_until(lambda: "smtp_mails_accepted_total" in page(stack), "the first report of a worker")
        target = stack.metrics_url.removeprefix("http://").removesuffix("/metrics")
        with running_prometheus(directory, target) as prometheus:
            start = time.time()
            Usage(stack, redis, seconds).run()
            charts = [chart(prometheus, panel, start) for panel in panels()]
            end = time.time()
    return svg(charts, start, end, note=f"The dashboard of a stack that was used for {seconds:.0f} seconds")


def chart(prometheus: Prometheus, panel: Panel, start: float) -> Chart:
    """What a panel shows, by the legend that Grafana would show."""
    series = {}
    for query in panel.queries:
        for labels, samples in prometheus.series(query.expression, start).items():
            series[legend(query.legend, labels)] = samples
    return Chart(panel.title, panel.unit, series)


def legend(template: str, labels: str) -> str:
    """A legend with the values of a series' labels, `name=value, ...`; its address, which is this run's, stays out."""
    values = dict(pair.partition("=")[::2] for pair in labels.split(", ")) if labels else {}
    values["instance"] = "the stack"
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values.get(match[1], ""), template)


if __name__ == "__main__":
    sys.exit(main())
