"""What a stack tells of itself: metrics for Prometheus on RoadRunner's page, and traces.

Nothing else in the SDK needs it. `EventMetrics` counts in the workers, `PoolExporter` what only RoadRunner knows.
"""

from rr_tcp.observability.events import EventMetrics
from rr_tcp.observability.pool import PoolExporter
from rr_tcp.observability.reporter import Reporter
from rr_tcp.observability.tallies import Distribution, Spread, Tally

__all__ = ["Distribution", "EventMetrics", "PoolExporter", "Reporter", "Spread", "Tally"]
