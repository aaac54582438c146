"""What the real stack tells of itself: its metrics page, and its log as JSON."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

from rr_tcp.plugins.informer import Informer
from rr_tcp.rpc import RPC
from tests.e2e.targets import NativeTarget
from tests.integration.observed import TEXT, observed_stack, page, say_lines, send_mails
from tests.support.waiting import wait_until


def expect(stack: NativeTarget, line: str, value: float) -> None:
    """Waits until a line of the page has a value."""
    wait_until(lambda: page(stack).get(line) == value, f"{line} {value:g}")


def worker_pids(stack: NativeTarget) -> set[int]:
    rpc = RPC(stack.rpc_address)
    try:
        return {worker.pid for worker in Informer(rpc).workers("tcp") or []}
    finally:
        rpc.close()


def kill_a_worker(stack: NativeTarget) -> None:
    """Kills a worker and waits for its successor.

    The lines after it let RoadRunner find the dead worker among those that are free. Until it has, it cannot end in
    order: it waits for as many free workers as there are (pool v1.1.3).
    """
    (victim, *_) = worker_pids(stack)
    stack.signal_worker(victim, signal.SIGKILL)
    wait_until(lambda: victim not in worker_pids(stack) and len(worker_pids(stack)) == 2)
    say_lines(stack, 5)


def test_the_page_has_what_clients_did_and_what_the_pool_is(tmp_path: Path) -> None:
    with observed_stack(tmp_path) as stack:
        expect(stack, 'rr_tcp_pool_workers{state="ready"}', 2)
        expect(stack, "smtp_mails_accepted_total", 0)
        send_mails(stack, 3)
        say_lines(stack, 5)
        expect(stack, "smtp_mails_accepted_total", 3)
        expect(stack, 'smtp_mails_refused_total{reason="nul_in_text"}', 1)
        expect(stack, 'rr_tcp_events_total{event="DATA",server="echo"}', 5 + 1)  # `make run` has probed it
        expect(stack, "smtp_mail_size_bytes_sum", 3 * len(TEXT))
        expect(stack, "rr_tcp_worker_starts_total", 2)
        lines = page(stack)
        assert lines['rr_tcp_received_bytes_total{server="echo"}'] > 5 * len(b"hello\n")
        assert lines['rr_tcp_store_duration_seconds_count{operation="load"}'] > 5
        assert lines["rr_tcp_pool_memory_bytes"] > 10_000_000
        with socket.create_connection((stack.echo.host, stack.echo.port)):
            expect(stack, 'rr_tcp_open_connections{server="echo"}', 1)
        expect(stack, 'rr_tcp_open_connections{server="echo"}', 0)

        kill_a_worker(stack)
        expect(stack, "rr_tcp_worker_starts_total", 3)


def test_metrics_can_be_switched_off(tmp_path: Path) -> None:
    with observed_stack(tmp_path, METRICS="0") as stack:
        send_mails(stack, 1)
        expect(stack, 'rr_tcp_pool_workers{state="ready"}', 2)
        assert not [line for line in page(stack) if line.startswith(("smtp_", "rr_tcp_events"))]


def json_lines(stack: NativeTarget) -> list[dict[str, Any]]:
    """Everything in the stack's output but what `make run` and RoadRunner say on stdout, which are three lines."""
    spoken = ("ready: ", "[INFO] RoadRunner server started", "stop signal received")
    return [json.loads(line) for line in stack.log().splitlines() if not line.startswith(spoken)]


def test_every_line_of_the_log_is_json_and_a_mail_has_one(tmp_path: Path) -> None:
    with observed_stack(tmp_path, LOG_FORMAT="json") as stack:
        send_mails(stack, 20)
        wait_until(lambda: stack.log().count('"result":"stored"') == 20)
        kill_a_worker(stack)
    lines = json_lines(stack)
    stored = [line for line in lines if line.get("result") == "stored"]
    assert len(stored) == 20
    for line in stored:
        assert line["server"] == "smtp"
        assert line["logger"] == "services.smtp.outcomes"
        assert line["connection"] in line["message"]
        assert (line["sender"], line["recipients"], line["size"]) == ("from@a.test", 1, len(TEXT))
    (refused,) = [line for line in lines if line.get("result") == "refused"]
    assert refused["reason"] == "nul_in_text"
    assert {line["pid"] for line in stored} <= {line["pid"] for line in lines if "pid" in line}
    assert any(line["logger"].strip() == "server" for line in lines)  # RoadRunner's own, of the worker that was killed
    assert "hello" not in stack.log()
