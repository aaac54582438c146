"""The check that splits make no difference finds each way in which they can."""

from __future__ import annotations

import msgspec
import pytest

from rr_tcp import App, Connection, LineProtocol, LineState, SessionStore, StatefulProtocol
from rr_tcp.testing import check_any_split, cuts


class Pieces(msgspec.Struct):
    count: int = 0


class Careless(StatefulProtocol[Pieces]):
    """Goes wrong where `flaw` says as soon as the bytes come in more than one piece."""

    state_type = Pieces

    def __init__(self, flaw: str) -> None:
        self._flaw = flaw

    def connected(self, connection: Connection[Pieces]) -> None:
        connection.write(b"hello\n")

    def data_received(self, connection: Connection[Pieces], data: bytes) -> None:
        match self._flaw:
            case "answers":
                connection.write(b"got %d\n" % len(data))
            case "closed" if not data.endswith(b"\n"):
                connection.close()
            case "session":
                connection.state.count += 1
            case "bulk":
                connection.clear_bulk()
                connection.append_bulk(data)


def careless(flaw: str, store: SessionStore) -> App:
    app = App(store=store)
    app.add("line", Careless(flaw))
    return app


@pytest.mark.parametrize("flaw", ["answers", "closed", "session", "bulk"])
def test_each_kind_of_difference_is_found(flaw: str) -> None:
    with pytest.raises(AssertionError, match=rf"pieces of 1, 3 bytes:\n(.*\n)*  {flaw}: .*\n.* in one piece"):
        check_any_split(lambda store: careless(flaw, store), "line", b"abc\n")


def test_a_protocol_that_does_not_look_at_the_pieces_passes() -> None:
    assert check_any_split(lambda store: careless("none", store), "line", b"abc\n") == b""


class Counter(LineProtocol[LineState]):
    """Keeps in the process what belongs into the state."""

    state_type = LineState
    lines = 0

    def line_received(self, connection: Connection[LineState], line: bytes) -> None:
        self.lines += 1
        connection.write(b"%s is line %d of %s\n" % (line, self.lines, connection.uuid.encode()))


def counter(store: SessionStore) -> App:
    app = App(store=store)
    app.add("line", Counter())
    return app


def test_state_that_is_left_in_the_process_is_found() -> None:
    """The next event is another process's."""
    with pytest.raises(AssertionError, match=r"answers: b'a is line 1 of .*b is line 1 of"):
        check_any_split(counter, "line", b"a\nb\n")


def test_the_difference_of_long_answers_is_shown() -> None:
    with pytest.raises(AssertionError, match=r"answers: \[\d{4,}:\] .*line 1 of"):
        check_any_split(counter, "line", b"x\n" * 100, splits=lambda data: [(data[:100], data[100:])])


def test_the_splits_can_be_chosen() -> None:
    assert check_any_split(counter, "line", b"a\n", splits=lambda data: [(data,)]).startswith(b"a is line 1 of ")


def test_cuts_are_the_whole_every_two_and_all_bytes() -> None:
    assert cuts(b"abc") == [(b"abc",), (b"a", b"bc"), (b"ab", b"c"), (b"a", b"b", b"c")]
