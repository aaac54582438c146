"""The rules between RoadRunner and its worker, on a fake relay."""

from __future__ import annotations

import logging

import pytest

from rr_tcp import NoEventError, Payload, TcpEvent, TcpResponse, TcpWorker, Worker
from rr_tcp.errors import HandshakeError, UnexpectedPayloadError
from rr_tcp.frame import Flag, Frame
from rr_tcp.testing import FakeRelay, event_frame
from rr_tcp.testing.relay import STOP_FRAME, pid_frame

DATA = event_frame(TcpEvent.DATA, b"hello\n", server="echo", uuid="u-1", remote_addr="127.0.0.1:4711")


def answer(word: bytes, body: bytes = b"") -> Frame:
    return Frame(word + body, options=(len(word),))


def test_the_handshake_tells_the_pid() -> None:
    relay = FakeRelay([pid_frame(), STOP_FRAME])
    assert Worker(relay, pid=4242).wait_payload() is None
    assert relay.sent == [Frame(b'{"pid":4242}', Flag.CONTROL | Flag.JSON)]


@pytest.mark.parametrize("frames", [[STOP_FRAME], []], ids=["stop frame", "end of the relay"])
def test_a_stop_is_answered_by_nothing_and_lasts(frames: list[Frame]) -> None:
    relay = FakeRelay(frames)
    worker = Worker(relay)
    assert worker.wait_payload() is None
    assert worker.wait_payload() is None
    assert relay.sent == []


@pytest.mark.parametrize("payload", [b"no json", b"{}", b"[]", b'{"pid":"x"}', b"\xff", b'"\xff"'])
def test_an_unknown_control_frame_is_a_handshake_error(payload: bytes) -> None:
    with pytest.raises(HandshakeError):
        Worker(FakeRelay([Frame(payload, Flag.CONTROL | Flag.JSON)])).wait_payload()


@pytest.mark.parametrize("frame", [Frame(b"abc"), Frame(b"abc", options=(4,)), Frame(b"abc", options=(1, 2))])
def test_a_payload_without_one_fitting_option_is_refused(frame: Frame) -> None:
    with pytest.raises(UnexpectedPayloadError):
        Worker(FakeRelay([frame])).wait_payload()


def test_payload_and_answer_are_context_and_body() -> None:
    relay = FakeRelay([Frame(b"ctxbody", options=(3,))])
    worker = Worker(relay)
    assert worker.wait_payload() == Payload(b"body", b"ctx")
    worker.respond(Payload(b"answer", b"c"))
    assert relay.sent == [Frame(b"canswer", options=(1,))]


def test_an_error_is_one_frame_with_the_error_flag() -> None:
    relay = FakeRelay([DATA])
    worker = Worker(relay)
    worker.wait_payload()
    worker.error("no luck")
    assert relay.sent == [Frame(b"no luck", Flag.ERROR)]


def test_the_stop_answer_has_the_exact_bytes_that_roadrunner_compares() -> None:
    relay = FakeRelay([DATA])
    worker = Worker(relay)
    worker.wait_payload()
    worker.stop()
    assert relay.sent == [Frame(b'{"stop":true}', options=(13,))]


@pytest.mark.parametrize("second", ["respond", "read", "close", "error", "stop"])
@pytest.mark.parametrize("first", ["respond", "read", "close", "error", "stop"])
def test_a_second_answer_to_one_event_is_an_error_in_the_worker_and_not_sent(first: str, second: str) -> None:
    relay = FakeRelay([DATA])
    tcp_worker = TcpWorker(Worker(relay))
    answers = {
        "respond": lambda: tcp_worker.respond(b"x"),
        "read": tcp_worker.read,
        "close": tcp_worker.close,
        "error": lambda: tcp_worker.worker.error("x"),
        "stop": tcp_worker.worker.stop,
    }
    tcp_worker.wait_request()
    answers[first]()
    with pytest.raises(NoEventError):
        answers[second]()
    assert len(relay.sent) == 1


def test_an_answer_before_any_event_is_refused() -> None:
    relay = FakeRelay()
    with pytest.raises(NoEventError):
        TcpWorker(Worker(relay)).read()
    assert relay.sent == []


def test_an_answer_that_could_not_be_encoded_leaves_the_event_open_for_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rr_tcp.frame.MAX_PAYLOAD", 10)
    relay = FakeRelay([DATA])
    tcp_worker = TcpWorker(Worker(relay))
    tcp_worker.wait_request()
    with pytest.raises(Exception, match="at most 10 bytes"):
        tcp_worker.respond(b"too much for it")
    tcp_worker.close()
    assert relay.sent == [answer(b"CLOSE")]


def test_a_forgotten_payload_is_answered_with_an_error_before_the_next(caplog: pytest.LogCaptureFixture) -> None:
    relay = FakeRelay([DATA, DATA])
    worker = Worker(relay)
    worker.wait_payload()
    with caplog.at_level(logging.ERROR):
        worker.wait_payload()
    assert [frame.flags for frame in relay.sent] == [Flag.ERROR]
    assert "not answered" in caplog.text


def test_a_request_carries_what_the_plugin_sends() -> None:
    request = TcpWorker(Worker(FakeRelay([DATA]))).wait_request()
    assert request is not None
    assert (request.remote_addr, request.remote_host) == ("127.0.0.1:4711", "127.0.0.1")
    assert (request.event, request.body) == (TcpEvent.DATA, b"hello\n")
    assert (request.server, request.connection_uuid) == ("echo", "u-1")


@pytest.mark.parametrize("port", ["", "x", "\u0661", "1" * 5000])
def test_an_address_without_a_port_is_all_host(port: str) -> None:
    request = TcpWorker(Worker(FakeRelay([event_frame("DATA", remote_addr=f"host:{port}")]))).wait_request()
    assert request is not None
    assert request.remote_host == f"host:{port}"


def test_an_event_of_a_newer_plugin_is_unknown_and_no_error() -> None:
    request = TcpWorker(Worker(FakeRelay([event_frame("PAUSED")]))).wait_request()
    assert request is not None
    assert request.event is TcpEvent.UNKNOWN


@pytest.mark.parametrize("context", [b"", b"{}", b'{"server":1}', b"<xml/>", b"\xff", b'{"server":"\xff"}'])
def test_a_context_of_another_plugin_is_answered_and_then_raised(context: bytes) -> None:
    relay = FakeRelay([Frame(context + b"body", options=(len(context),))])
    with pytest.raises(UnexpectedPayloadError, match="TCP plugin"):
        TcpWorker(Worker(relay)).wait_request()
    assert [frame.flags for frame in relay.sent] == [Flag.ERROR]


def test_every_answer_has_the_plugins_word_for_it() -> None:
    relay = FakeRelay([DATA] * 4)
    tcp_worker = TcpWorker(Worker(relay))
    tcp_worker.wait_request()
    tcp_worker.respond(b"hi")
    tcp_worker.wait_request()
    tcp_worker.respond(b"bye", TcpResponse.WRITECLOSE)
    tcp_worker.wait_request()
    tcp_worker.read()
    tcp_worker.wait_request()
    tcp_worker.close()
    assert relay.sent == [
        answer(b"WRITE", b"hi"),
        answer(b"WRITECLOSE", b"bye"),
        answer(b"CONTINUE"),
        answer(b"CLOSE"),
    ]


@pytest.mark.parametrize(("event", "warns"), [(TcpEvent.DATA, True), (TcpEvent.CLOSE, False)])
def test_a_connection_whose_event_is_not_answered_is_closed(
    event: TcpEvent, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """As with RoadRunner itself; only on CLOSE, where nothing can be said, it goes without a warning."""
    relay = FakeRelay([event_frame(event), STOP_FRAME])
    tcp_worker = TcpWorker(Worker(relay))
    tcp_worker.wait_request()
    assert tcp_worker.wait_request() is None
    assert relay.sent == [answer(b"CLOSE")]
    assert bool(caplog.records) is warns
