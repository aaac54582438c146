"""Every typed call to RoadRunner's plugins, on the real server."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rr_tcp import App, ConfigurationError, Request, Response, RPCServiceError, RPCTransportError, TcpEvent, TcpResponse
from rr_tcp.errors import LockLostError, LockNotAcquiredError, MetricsLostError
from rr_tcp.plugins.app_logger import AppLogger
from rr_tcp.plugins.collectors import Collector, Counter, Gauge, Histogram, Summary
from rr_tcp.plugins.informer import Informer
from rr_tcp.plugins.lock import Locks
from rr_tcp.plugins.metrics import Metrics, MetricsBatch
from rr_tcp.plugins.resetter import Resetter
from rr_tcp.plugins.roadrunner import RoadRunner
from rr_tcp.plugins.tcp import TcpConnections
from rr_tcp.probe import probe_connect
from rr_tcp.rpc import RPC
from rr_tcp.testing import ServedApp, free_ports, roadrunner, serve_app
from tests.integration.conftest import TIMEOUT, connect, process_exists, receive_all

EVENTS = Counter("app_events_total", "Events by kind.", labels=("event",))


def build_app() -> App:
    """Greets with the uuid, closes after a line, and is closed from its CLOSE event once more.

    The server `raw` calls the plugin's method itself, the server `typed` the client's; both write down what they got.
    """
    app = App()
    rpc = RPC(os.environ["RR_RPC"])
    batch = MetricsBatch(rpc, interval=0.0)

    @app.on_startup
    def declare() -> None:
        Metrics(rpc).declare(EVENTS)

    @app.on("raw")
    @app.on("typed")
    def handle(request: Request) -> Response | bytes:
        batch.add(EVENTS, 1, request.event)
        if batch.due:
            batch.flush()
        match request.event:
            case TcpEvent.CONNECTED:
                return request.connection_uuid.encode()
            case TcpEvent.DATA:
                return Response(TcpResponse.WRITECLOSE, b"bye")
            case _:
                close_in_its_close_event(rpc, request)
                return b""

    return app


def close_in_its_close_event(rpc: RPC, request: Request) -> None:
    result = "closed"
    try:
        if request.server == "raw":
            rpc.call("tcp.Close", request.connection_uuid)
        else:
            TcpConnections(rpc).close(request.connection_uuid)
    except RPCServiceError as error:
        result = str(error)
    Path(os.environ["RESULTS"], request.connection_uuid).write_text(result)


@pytest.fixture(scope="module")
def page() -> str:
    """The address of the metrics."""
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def served(rr_binary: Path, tmp_path_factory: pytest.TempPathFactory, page: str, results: Path) -> Iterator[ServedApp]:
    """One server for all tests of this module that do not end it."""
    with serve_app(
        "tests.integration.test_plugins:build_app",
        "raw",
        "typed",
        binary=rr_binary,
        directory=tmp_path_factory.mktemp("rr"),
        env={"RESULTS": str(results)},
        extra={
            "metrics": {"address": page},
            "lock": {},
            "logs": {"mode": "production", "encoding": "json", "level": "debug"},
        },
    ) as served:
        yield served


@pytest.fixture
def rpc(served: ServedApp) -> Iterator[RPC]:
    """With the time that starting workers takes."""
    with contextlib.closing(RPC(served.rpc_address, timeout=TIMEOUT)) as client:
        yield client


@pytest.fixture
def name() -> str:
    """One that nobody else uses, of a resource or a metric."""
    return f"test_{uuid.uuid4().hex}"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def test_version_and_configuration(rpc: RPC, page: str) -> None:
    server = RoadRunner(rpc)
    assert server.version().startswith("2025.1.")
    assert server.config()["metrics"] == {"address": page}


def test_a_prefix_reaches_the_plugin(rpc: RPC) -> None:
    assert rpc.with_prefix("rpc").call("Version", payload=True) == RoadRunner(rpc).version()


def test_many_calls_at_once_are_answered_each_in_its_place(rpc: RPC) -> None:
    answers = rpc.call_many([("rpc.Version", True), ("no.Method", 1), ("informer.Workers", "nobody")] * 200)
    version, error, workers = answers[:3]
    assert version == RoadRunner(rpc).version()
    assert isinstance(error, RPCServiceError)
    assert workers == {"workers": None}
    assert [str(answer) for answer in answers] == [str(answer) for answer in answers[:3]] * 200


def test_closing_a_connection_ends_it_for_its_client_who_still_gets_what_was_sent(served: ServedApp, rpc: RPC) -> None:
    with connect(served.ports["typed"]) as client:
        connection = client.recv(100)
        TcpConnections(rpc).close(connection.decode())
        assert receive_all(client) == b""


def test_closing_a_connection_that_nobody_knows_is_no_error(rpc: RPC) -> None:
    TcpConnections(rpc).close(str(uuid.uuid4()))
    TcpConnections(rpc).close("")


@pytest.mark.parametrize(("server", "expected"), [("raw", "use of closed network connection"), ("typed", "closed")])
def test_closing_a_connection_that_the_worker_closed_is_no_error(
    served: ServedApp, results: Path, server: str, expected: str
) -> None:
    """To the server it is one until the worker has answered the CLOSE event."""
    with connect(served.ports[server]) as client:
        connection = client.recv(100).decode()
        client.sendall(b"\n")
        assert receive_all(client) == b"bye"
    result = results / connection
    wait_until(lambda: result.exists() and bool(result.read_text()))
    assert result.read_text().endswith(expected)


def test_workers_of_a_plugin(served: ServedApp, rpc: RPC) -> None:
    informer = Informer(rpc)
    assert "tcp" in informer.plugins()
    with connect(served.ports["typed"]) as client:
        client.recv(100)
    workers = informer.workers("tcp")
    assert workers is not None
    assert len(workers) == 2
    assert sum(worker.executions for worker in workers) >= 1
    for worker in workers:
        assert process_exists(worker.pid)
        assert worker.status in {"ready", "working"}
        assert 0 <= time.time() - worker.created.timestamp() < 600
        assert 5e6 < worker.memory < 500e6
        assert 0 <= worker.cpu <= 1000
        assert worker.command == ""


def test_an_unknown_plugin_has_no_workers_to_tell_of_nor_to_manage_nor_to_reset(rpc: RPC) -> None:
    informer = Informer(rpc)
    with pytest.raises(ConfigurationError, match=r"no plugin 'http' with workers: .*tcp"):
        informer.workers("http")
    for manage in (informer.add_worker, informer.remove_worker):
        with pytest.raises(RPCServiceError, match="http does not support workers management"):
            manage("http")
    with pytest.raises(RPCServiceError, match="no such plugin: http"):
        Resetter(rpc).reset("http")


def pids(rpc: RPC) -> set[int]:
    return {worker.pid for worker in Informer(rpc).workers("tcp") or ()}


def test_a_worker_that_was_killed_is_replaced_and_no_answer_is_wrong_meanwhile(rpc: RPC) -> None:
    before = pids(rpc)
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: len(now := pids(rpc)) == 2 and killed not in now)


def test_workers_are_added_and_removed(rpc: RPC) -> None:
    informer, before = Informer(rpc), pids(rpc)
    informer.add_worker("tcp")
    added = pids(rpc)
    assert len(added) == len(before) + 1
    assert added > before
    informer.remove_worker("tcp")
    assert len(pids(rpc)) == len(before)
    assert pids(rpc) < added


def test_the_last_worker_stays(rpc: RPC) -> None:
    informer = Informer(rpc)
    informer.remove_worker("tcp")
    informer.remove_worker("tcp")
    assert len(pids(rpc)) == 1
    informer.add_worker("tcp")
    assert len(pids(rpc)) == 2


def test_a_reset_replaces_all_workers(rpc: RPC) -> None:
    before = pids(rpc)
    assert "tcp" in Resetter(rpc).plugins()
    Resetter(rpc).reset("tcp")
    assert len(pids(rpc)) == len(before)
    assert before.isdisjoint(pids(rpc))


def test_one_owner_holds_a_resource_at_a_time(rpc: RPC, name: str) -> None:
    locks = Locks(rpc)
    assert not locks.exists(name)
    assert locks.lock(name, "one", ttl=60)
    assert (locks.exists(name), locks.exists(name, "one"), locks.exists(name, "two")) == (True, True, False)
    assert not locks.lock(name, "two", ttl=60)
    assert not locks.lock(name, "one", ttl=60), "a lock is not re-entrant"
    assert not locks.release(name, "two")
    assert locks.release(name, "one")
    assert locks.lock(name, "two", ttl=60, wait=5)
    assert not locks.release(name, "one")


def test_a_wait_ends_when_the_resource_is_free(rpc: RPC, name: str) -> None:
    assert Locks(rpc).lock(name, "one", ttl=0.3)
    start = time.monotonic()
    assert Locks(rpc).lock(name, "two", ttl=60, wait=10)
    assert 0.2 < time.monotonic() - start < 9


def test_a_lock_ends_by_its_time_to_live_which_can_be_changed(rpc: RPC, name: str) -> None:
    locks = Locks(rpc)
    locks.lock(name, "one", ttl=60)
    assert locks.update_ttl(name, "one", 0.05)
    wait_until(lambda: not locks.exists(name))
    assert not locks.update_ttl(name, "one", 1)
    assert not locks.release(name, "one")
    locks.lock(name, "one", ttl=1.0, wait=5)
    assert locks.update_ttl(name, "one", None)
    assert not locks.lock(name, "two", ttl=60, wait=1.5)
    assert locks.exists(name, "one")


def test_all_locks_of_a_resource_can_be_ended(rpc: RPC, name: str) -> None:
    locks = Locks(rpc)
    assert not locks.force_release(name)
    for owner in ("one", "two"):
        assert locks.lock_read(name, owner, ttl=None)
    assert locks.exists(name, "two")
    assert locks.force_release(name)
    wait_until(lambda: not locks.exists(name))


def test_an_owner_has_a_name(rpc: RPC, name: str) -> None:
    with pytest.raises(RPCServiceError, match="empty ID"):
        Locks(rpc).lock(name, "", ttl=1)


def test_a_block_holds_its_lock_and_frees_it(rpc: RPC, name: str) -> None:
    locks = Locks(rpc)
    for _ in range(20):
        with locks.held(name, ttl=60, wait=5) as owner:
            assert locks.exists(name, owner)
            with pytest.raises(LockNotAcquiredError), locks.held(name, ttl=60):
                pytest.fail("both hold it")
    wait_until(lambda: not locks.exists(name))


def test_a_block_that_takes_longer_than_its_lock_lives_says_so(rpc: RPC, name: str) -> None:
    locks = Locks(rpc)
    with pytest.raises(LockLostError), locks.held(name, ttl=0.05):
        wait_until(lambda: not locks.exists(name))


def test_readers_do_not_keep_a_writer_out(rpc: RPC, name: str) -> None:
    """As the module says of the server's v5.1.9; when this fails, a newer one is right and the warning can go."""
    locks = Locks(rpc)
    assert locks.lock(name, "writer", ttl=60)
    assert locks.release(name, "writer")
    wait_until(lambda: not locks.exists(name))
    assert locks.lock_read(name, "reader", ttl=60)
    assert locks.lock(name, "next writer", ttl=60, wait=1)
    assert locks.exists(name, "reader")


def test_a_writer_that_waits_for_two_readers_blocks_the_resource_for_good(rpc: RPC, name: str) -> None:
    """As the module says of the server's v5.1.9; when this fails, a newer one is right and the warning can go."""
    locks = Locks(rpc)
    assert locks.lock_read(name, "one", ttl=60)
    assert locks.lock_read(name, "two", ttl=60)
    assert not locks.lock(name, "writer", ttl=60, wait=0.1)
    assert not locks.release(name, "one")
    assert not locks.force_release(name)
    assert not locks.lock_read(name, "three", ttl=60, wait=1)


def read_page(page: str) -> dict[str, float]:
    """The numbers of the page by line; nothing while the server does not serve it yet."""
    try:
        with urllib.request.urlopen(f"http://{page}/metrics", timeout=TIMEOUT) as response:
            lines = response.read().decode().splitlines()
    except urllib.error.URLError:
        return {}
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def lines_of(page: str, name: str) -> dict[str, float]:
    return {line.replace(name, "X"): number for line, number in read_page(page).items() if name in line}


def test_updates_are_on_the_page_at_once(rpc: RPC, page: str, name: str) -> None:
    metrics = Metrics(rpc)
    counter, gauge = Counter(f"{name}_c", "C.", ("a", "b"), namespace="n", subsystem="s"), Gauge(f"{name}_g", "G.")
    histogram, summary = Histogram(f"{name}_h", "H.", buckets=(1.0, 2.5)), Summary(f"{name}_s", "S.", labels=("a",))
    metrics.declare(counter, gauge, histogram, summary)
    metrics.add(counter, 2, "x", 'ü\n"')
    metrics.add(counter, 0.5, "x", 'ü\n"')
    metrics.add(gauge, 7)
    metrics.sub(gauge, 10)
    metrics.observe(histogram, 2)
    metrics.observe(histogram, 3)
    metrics.observe(summary, -1.5, "x")
    assert lines_of(page, name) == {
        'n_s_X_c{a="x",b="ü\\n\\""}': 2.5,
        "X_g": -3,
        'X_h_bucket{le="1"}': 0,
        'X_h_bucket{le="2.5"}': 1,
        'X_h_bucket{le="+Inf"}': 2,
        "X_h_sum": 5,
        "X_h_count": 2,
        'X_s_sum{a="x"}': -1.5,
        'X_s_count{a="x"}': 1,
    }
    metrics.set(gauge, 40)
    assert lines_of(page, name)["X_g"] == 40
    for collector in (counter, gauge, histogram, summary):
        metrics.unregister(collector)
    assert lines_of(page, name) == {}
    with pytest.raises(RPCServiceError, match="undefined collector"):
        metrics.unregister(gauge)
    with pytest.raises(RPCServiceError, match="undefined collector"):
        metrics.add(gauge, 1)


def test_every_worker_may_declare_a_collector_and_the_first_description_stays(rpc: RPC, page: str, name: str) -> None:
    Metrics(rpc).declare(Gauge(name, "First."))
    Metrics(rpc).declare(Gauge(name, "Second."))
    other = Counter(name, "Third.")
    Metrics(rpc).declare(other)
    Metrics(rpc).add(other, 1)
    assert lines_of(page, name) == {"X": 1}
    with pytest.raises(RPCServiceError, match="does not support method `Observe`"):
        Metrics(rpc).observe(Summary(name, "S."), 1)


@pytest.mark.parametrize(
    "collector", [Counter("", "No name."), Gauge("go_goroutines", "The server's."), Counter("c", "C.", ("a", "a"))]
)
def test_a_name_that_prometheus_does_not_take_is_an_error_of_the_declaration(rpc: RPC, collector: Collector) -> None:
    with pytest.raises(RPCServiceError):
        Metrics(rpc).declare(collector)


def test_a_batch_is_on_the_page_after_its_flush(rpc: RPC, page: str, name: str) -> None:
    counter, histogram = Counter(f"{name}_c", "C.", ("worker",)), Histogram(f"{name}_h", "H.", buckets=(0.5,))
    Metrics(rpc).declare(counter, histogram)
    batch = MetricsBatch(rpc)
    for number in range(1000):
        batch.add(counter, 1, str(number % 3))
        if number % 2:
            batch.observe(histogram, number % 4 / 4)
    assert 'X_c{worker="0"}' not in lines_of(page, name)
    batch.flush()
    batch.flush()
    assert lines_of(page, name) == {
        'X_c{worker="0"}': 334,
        'X_c{worker="1"}': 333,
        'X_c{worker="2"}': 333,
        'X_h_bucket{le="0.5"}': 250,
        'X_h_bucket{le="+Inf"}': 500,
        "X_h_sum": 250 * 0.25 + 250 * 0.75,
        "X_h_count": 500,
    }


def test_what_a_batch_could_not_bring_to_the_page_is_an_error_and_the_rest_is_there(
    rpc: RPC, page: str, name: str
) -> None:
    known, unknown = Counter(f"{name}_known", "K."), Counter(f"{name}_unknown", "U.")
    Metrics(rpc).declare(known)
    batch = MetricsBatch(rpc)
    batch.add(unknown, 1)
    batch.add(known, 1)
    with pytest.raises(MetricsLostError, match=f"1 were refused: metrics.Add: .*undefined collector {name}_unknown"):
        batch.flush()
    assert lines_of(page, name) == {"X_known": 1}


def test_workers_declare_when_they_start_and_count_together(served: ServedApp, page: str) -> None:
    line = f'{EVENTS.name}{{event="{TcpEvent.CONNECTED}"}}'
    before = read_page(page).get(line, 0)
    for _ in range(20):
        with connect(served.ports["typed"]) as client:
            client.recv(100)
    wait_until(lambda: read_page(page).get(line) == before + 20)


@pytest.mark.parametrize(
    "calls",
    [
        [("Declare", {"collector": {"type": "counter", "help": "h"}}), ("Add", {"value": -1})],
        [("Declare", {"collector": {"type": "histogram", "help": "h", "buckets": [2, 1]}})],
        [
            ("Declare", {"collector": {"type": "histogram", "help": "h", "labels": ["le"]}}),
            ("Observe", {"value": 1, "labels": ["x"]}),
        ],
        [("Declare", {"collector": {"type": "summary", "help": "h", "labels": ["quantile"]}})],
    ],
    ids=["negative counter", "falling buckets", "label le", "label quantile"],
)
def test_what_is_refused_here_would_have_ended_the_server(
    rr_binary: Path, tmp_path: Path, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    """When this fails, a newer server is right and the check can go."""
    rpc_port, metrics_port = free_ports(2)
    config = tmp_path / ".rr.yaml"
    config.write_text(
        f'{{version: "3", rpc: {{listen: "tcp://127.0.0.1:{rpc_port}"}}, '
        f'metrics: {{address: "127.0.0.1:{metrics_port}"}}}}'
    )
    probe = partial(probe_connect, "127.0.0.1", rpc_port)
    with (
        roadrunner(rr_binary, config, cwd=tmp_path, env={}, log=tmp_path / "log", probes=[probe]) as server,
        contextlib.closing(RPC(f"tcp://127.0.0.1:{rpc_port}")) as rpc,
    ):
        *before, (method, argument) = [(f"metrics.{method}", {"name": "m", **body}) for method, body in calls]
        for first, its_argument in before:
            rpc.call(first, its_argument)
        with pytest.raises(RPCTransportError):
            rpc.call(method, argument)
        assert server.wait() != 0
        server.kill()  # it is gone: says that its exit code is no failure


def records(log: Path, text: str) -> list[dict[str, Any]]:
    """The log's records that contain a text."""
    return [msgspec.json.decode(line) for line in log.read_bytes().splitlines() if text.encode() in line]


def test_records_are_in_the_log_with_their_level_and_attributes(served: ServedApp, rpc: RPC, name: str) -> None:
    logger = AppLogger(rpc)
    for write in (logger.error, logger.warning, logger.info, logger.debug):
        write(f"{name} ü\n", {"pid": 12, "text": 'a "quote"'})
        write(f"{name} alone")
    wait_until(lambda: len(records(served.log, name)) == 8)
    written = [
        {key: record[key] for key in record.keys() & {"level", "logger", "msg", "pid", "text"}}
        for record in records(served.log, name)
    ]
    levels = ["error", "warn", "info", "debug"]
    assert [record["level"] for record in written] == [level for level in levels for _ in range(2)]
    assert written[0] == {
        "level": "error", "logger": "app", "msg": f"{name} ü\n", "pid": "12", "text": 'a "quote"'
    }  # fmt: skip
    assert written[1] == {"level": "error", "logger": "app", "msg": f"{name} alone"}


def test_a_raw_line_is_in_the_log_as_it_is(served: ServedApp, rpc: RPC, name: str) -> None:
    AppLogger(rpc).log(name, {"key": "value", "n": 12})
    AppLogger(rpc).log(f"{name} alone")
    wait_until(lambda: served.log.read_text().count(name) == 2)
    lines = served.log.read_text().splitlines()
    assert f"{name} key:value,n:12" in lines
    assert f"{name} alone" in lines
