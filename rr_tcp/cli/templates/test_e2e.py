"""The service sample, through real sockets."""

from __future__ import annotations

from tests.e2e.clients import RawClient
from tests.e2e.targets import Target


def test_lines_are_counted_across_the_workers(stack: Target) -> None:
    with RawClient(stack.address("sample")) as client:
        for number in range(1, 51):
            client.send(b"x\n")
            assert client.line() == b"%d: x\n" % number


def test_pieces_of_any_size_give_the_same_answers(stack: Target) -> None:
    with RawClient(stack.address("sample")) as client:
        client.send(*(b"%c" % byte for byte in b"first\r\nsecond\n"))
        assert [client.line(), client.line()] == [b"1: first\n", b"2: second\n"]
