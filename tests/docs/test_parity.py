"""The tables of parity name tests that exist, and what has no test elsewhere has one here."""

from __future__ import annotations

import re

import pytest

from rr_tcp import Environment, TcpEvent, TcpResponse, TcpWorker, Worker
from rr_tcp.plugins.kv import KV
from rr_tcp.testing import FakeRelay, event_frame
from tests.docs.blocks import ROOT
from tests.docs.proven import functions, is_proof, named_tests, rows


@pytest.mark.parametrize(("path", "name"), named_tests())
def test_a_test_that_is_named_exists(path: str, name: str) -> None:
    assert name.startswith("test_")
    assert name in functions(ROOT / path)


def test_every_threat_that_is_defended_names_its_test() -> None:
    table = rows("docs/security.md")
    assert len(table) > 30
    assert [row for row in table if not is_proof(row[-1])] == []


def test_every_row_names_its_test() -> None:
    table = rows("docs/parity.md")
    assert len(table) > 40
    assert [row for row in table if not is_proof(row[-1])] == []


def test_an_empty_environment_has_the_official_defaults() -> None:
    assert Environment.from_env({}) == Environment(
        mode="", relay_address="pipes", rpc_address="tcp://127.0.0.1:6001", version=""
    )


def test_kv_has_no_call_that_can_end_the_server() -> None:
    """`kv.MExpire` with a time that is over does (memory v5.2.9)."""
    assert not [name for name in dir(KV) if "expire" in name.lower() or "touch" in name.lower()]
    assert not [path for path in (ROOT / "rr_tcp").rglob("*.py") if re.search(r"call\([^)]*MExpire", path.read_text())]


def test_no_frame_has_stream_bits() -> None:
    relay = FakeRelay([event_frame(TcpEvent.DATA, b"x\n")] * (len(TcpResponse) + 2))
    tcp_worker = TcpWorker(Worker(relay))
    for response in TcpResponse:
        tcp_worker.wait_request()
        tcp_worker.respond(b"x" * 100_000, response)
    tcp_worker.wait_request()
    tcp_worker.worker.error("no")
    tcp_worker.wait_request()
    tcp_worker.worker.stop()
    assert len(relay.sent) == len(TcpResponse) + 2
    assert {frame.encode()[10] for frame in relay.sent} == {0}
