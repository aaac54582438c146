"""The RPC client against the real server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import msgspec
import pytest

from rr_tcp.errors import RPCServiceError
from rr_tcp.rpc import RPC, Codec
from tests.support.servers import running_roadrunner


@pytest.fixture(scope="module", params=["tcp", "unix"])
def rpc(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RPC]:
    directory = tmp_path_factory.mktemp("rr")
    address = f"unix://{directory}/rpc.sock" if request.param == "unix" else None
    with running_roadrunner(directory, address) as listening, contextlib.closing(RPC(listening)) as client:
        yield client


def test_json(rpc: RPC) -> None:
    assert rpc.call("rpc.Version", payload=True).startswith("2025.1.")
    assert isinstance(rpc.call("informer.List", payload=True), list)


def test_raw(rpc: RPC) -> None:
    assert "sessions" in msgspec.json.decode(rpc.call("rpc.Config", b"", Codec.RAW))["kv"]


def test_errors_leave_the_connection_usable(rpc: RPC) -> None:
    rpc.call("rpc.Version", payload=True)
    relay = rpc._relay
    with pytest.raises(RPCServiceError, match=r"kv\.MGet: .*no such storage: nowhere"):
        rpc.call("kv.MGet", b"\x0a\x07nowhere", Codec.PROTO)
    with pytest.raises(RPCServiceError, match=r"can't find"):
        rpc.call("no.Method", payload=True)
    assert rpc.call("rpc.Version", payload=True).startswith("2025.1.")
    assert rpc._relay is relay


def test_large_arguments_and_answers(rpc: RPC) -> None:
    """Far beyond what one read of a socket brings."""
    with pytest.raises(RPCServiceError) as caught:
        rpc.call("kv.MGet", b"\x0a\xc0\x84\x3d" + b"x" * 1_000_000, Codec.PROTO)
    assert len(str(caught.value)) > 1_000_000
