"""What the small plugins' clients send and how they read answers; many calls at once, and prefixes."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from rr_tcp.errors import CodecError, ConfigurationError, RPCServiceError, RPCTransportError
from rr_tcp.frame import Flag, Frame
from rr_tcp.plugins.app_logger import AppLogger
from rr_tcp.plugins.informer import Informer, WorkerState
from rr_tcp.plugins.resetter import Resetter
from rr_tcp.plugins.roadrunner import RoadRunner
from rr_tcp.plugins.tcp import TcpConnections
from rr_tcp.rpc import RPC, Codec
from rr_tcp.testing import FakeRelay
from tests.rr_tcp.recording import RecordingRPC

WORKER = (
    b'{"pid":%d,"status":2,"numExecs":7,"created":1700000000250000000,"memoryUsage":1048576,"CPUPercent":0,'
    b'"command":"","statusStr":"ready"}'
)


def connected(*answers: Frame) -> tuple[RPC, FakeRelay]:
    """A client whose connection is a fake."""
    rpc, relay = RPC("tcp://127.0.0.1:1"), FakeRelay(answers)
    rpc._relay = relay
    return rpc, relay


def test_many_calls_are_sent_before_the_first_answer_is_read() -> None:
    rpc, relay = connected()
    with pytest.raises(RPCTransportError, match=r"closed the RPC connection .* instead of answering a\.A and 2 more"):
        rpc.call_many([("a.A", 1), ("b.Bb", "two"), ("a.A", None)])
    assert relay.sent == [
        Frame(b"a.A1", Flag.JSON, (1, 3)),
        Frame(b'b.Bb"two"', Flag.JSON, (2, 4)),
        Frame(b"a.Anull", Flag.JSON, (3, 3)),
    ]
    assert relay.closed


def test_many_answers_may_come_in_any_order_and_an_error_is_one_of_them() -> None:
    rpc, _ = connected(
        Frame(b"c.C[3]", Flag.JSON, (3, 3)),
        Frame(b"a.A[1]", Flag.JSON, (1, 3)),
        Frame(b"b.Bno", Flag.JSON | Flag.ERROR, (2, 3)),
    )
    first, second, third = rpc.call_many([("a.A", 1), ("b.B", 2), ("c.C", 3)])
    assert (first, str(second), third) == ([1], "b.B: no", [3])
    assert isinstance(second, RPCServiceError)


@pytest.mark.parametrize(
    "second",
    [
        Frame(b"a.A1", Flag.JSON, (1, 3)),
        Frame(b"a.A1", Flag.JSON, (2, 3)),
        Frame(b"b.B1", Flag.JSON, (3, 3)),
        Frame(b"b.B1", Flag.JSON),
    ],
    ids=["again", "method", "sequence", "no options"],
)
def test_one_answer_to_another_call_among_many_ends_the_connection(second: Frame) -> None:
    rpc, relay = connected(Frame(b"a.A1", Flag.JSON, (1, 3)), second)
    with pytest.raises(RPCTransportError, match="another call"):
        rpc.call_many([("a.A", 1), ("b.B", 1)])
    assert relay.closed


def test_no_calls_need_no_connection() -> None:
    assert RPC("unix:///nonexistent/rr.sock").call_many([]) == []


def test_one_argument_that_is_no_json_stops_all_calls_before_they_are_sent() -> None:
    rpc, relay = connected()
    with pytest.raises(CodecError, match=r"the argument of b\.B"):
        rpc.call_many([("a.A", 1), ("b.B", object())])
    assert relay.sent == []


def test_text_without_utf8_form_is_a_codec_error() -> None:
    rpc, relay = connected()
    with pytest.raises(CodecError, match="no JSON value"):
        rpc.call("app.Log", "\udcff")
    assert relay.sent == []


@pytest.mark.parametrize("answer", [b'"\xff"', b"[" * 100_000], ids=["no UTF-8", "too deep"])
def test_an_answer_that_json_cannot_hold_is_a_codec_error(answer: bytes) -> None:
    rpc, _ = connected(Frame(b"a.A" + answer, Flag.JSON, (1, 3)))
    with pytest.raises(CodecError, match="no JSON"):
        rpc.call("a.A", 1)


def test_an_answer_of_another_type_is_a_codec_error() -> None:
    rpc, _ = connected(Frame(b'a.A["x",1]', Flag.JSON, (1, 3)), Frame(b'a.A["x"]', Flag.JSON, (2, 3)))
    with pytest.raises(CodecError, match="not of the expected form"):
        rpc.call("a.A", 1, answer=list[str])
    assert rpc.call("a.A", 1, answer=list[str]) == ["x"]


def test_a_prefix_is_put_before_every_method_and_the_connection_is_shared() -> None:
    rpc, relay = connected(
        Frame(b"kv.Has", Flag.PROTO, (1, 6)), Frame(b"rpc.V1", Flag.JSON, (2, 5)), Frame(b"kv.Set2", Flag.JSON, (3, 6))
    )
    kv = rpc.with_prefix("kv")
    assert kv.call("Has", b"\x0a\0", Codec.PROTO) == b""
    assert rpc.call("rpc.V", payload=True) == 1
    assert kv.call_many([("Set", 1)]) == [2]
    assert [frame.payload for frame in relay.sent] == [b"kv.Has\x0a\0", b"rpc.Vtrue", b"kv.Set1"]
    assert kv.timeout == rpc.timeout
    kv.close()
    assert relay.closed


def test_a_closed_connection_is_closed_again_without_an_error() -> None:
    """RoadRunner says so when the worker's own answer closed it a moment ago."""
    rpc = RecordingRPC(
        b"true", RPCServiceError("tcp.Close: close tcp 127.0.0.1:1->127.0.0.1:2: use of closed network connection")
    )
    TcpConnections(rpc).close("one")
    TcpConnections(rpc).close("two")
    assert rpc.calls == [("tcp.Close", b'"one"', Codec.JSON), ("tcp.Close", b'"two"', Codec.JSON)]


def test_any_other_error_of_closing_is_raised() -> None:
    with pytest.raises(RPCServiceError, match="can't find service"):
        TcpConnections(RecordingRPC(RPCServiceError("tcp.Close: rpc: can't find service tcp.Close"))).close("one")


def test_workers_are_typed_and_in_the_order_of_their_pids() -> None:
    rpc = RecordingRPC(b'{"workers":[%s,%s]}' % (WORKER % 20, WORKER % 10))
    workers = Informer(rpc).workers("tcp")
    assert rpc.calls == [("informer.Workers", b'"tcp"', Codec.JSON)]
    created = datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC)
    assert workers == [WorkerState(pid, "ready", 7, created, 1048576, 0.0, "") for pid in (10, 20)]


def test_no_list_of_a_known_plugin_is_none_and_not_no_workers() -> None:
    """RoadRunner describes no worker while it replaces one."""
    assert Informer(RecordingRPC(b'{"workers":null}', b'["tcp","service"]')).workers("tcp") is None
    assert Informer(RecordingRPC(b'{"workers":[]}')).workers("tcp") == []


def test_an_unknown_plugin_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"no plugin 'http' with workers: service, tcp$"):
        Informer(RecordingRPC(b'{"workers":null}', b'["tcp","service"]')).workers("http")


@pytest.mark.parametrize("answer", [b"{}", b'{"workers":[{"pid":1}]}', b'{"workers":{}}', b"true"])
def test_workers_of_an_unknown_form_are_a_codec_error(answer: bytes) -> None:
    with pytest.raises(CodecError):
        Informer(RecordingRPC(answer)).workers("tcp")


def test_the_answer_to_a_change_of_the_pool_says_nothing() -> None:
    """It is false, and the change was made."""
    rpc = RecordingRPC(b"false", b"false", b"true")
    Informer(rpc).add_worker("tcp")
    Informer(rpc).remove_worker("tcp")
    Resetter(rpc).reset("tcp")
    assert [method for method, body, _ in rpc.calls if body == b'"tcp"'] == [
        "informer.AddWorker",
        "informer.RemoveWorker",
        "resetter.Reset",
    ]


def test_plugins_come_in_alphabetical_order() -> None:
    """The server gives them in any order, and another one each time."""
    rpc = RecordingRPC(b'["tcp","jobs"]', b'["tcp","jobs"]')
    assert Informer(rpc).plugins() == Resetter(rpc).plugins() == ["jobs", "tcp"]


@pytest.mark.parametrize("answer", [b"", b"[1]", b"null", b"{\xff", b"{"])
def test_a_configuration_that_is_no_object_is_a_codec_error_that_does_not_quote_it(answer: bytes) -> None:
    with pytest.raises(CodecError, match=r"no JSON object$"):
        RoadRunner(RecordingRPC(answer)).config()


def test_records_carry_their_attributes_as_text() -> None:
    rpc = RecordingRPC(b"", b"")
    AppLogger(rpc).warning("ü", {"pid": 1, "é": "ok"})
    AppLogger(rpc).debug("")
    assert rpc.calls == [
        (
            "app.WarningWithContext",
            b"\x0a\x02\xc3\xbc" + b"\x12\x08\x0a\x03pid\x12\x011" + b"\x12\x08\x0a\x02\xc3\xa9\x12\x02ok",
            Codec.PROTO,
        ),
        ("app.DebugWithContext", b"\x0a\x00", Codec.PROTO),
    ]


def test_a_raw_line_is_whole_and_ends() -> None:
    rpc = RecordingRPC(b"false", b"false")
    AppLogger(rpc).log("message", {"key": "value", "n": 12})
    AppLogger(rpc).log("alone")
    assert [msgspec.json.decode(body) for _, body, _ in rpc.calls] == ["message key:value,n:12\n", "alone\n"]
    assert {method for method, _, _ in rpc.calls} == {"app.Log"}
