"""The JSON echo, through real sockets."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.clients import RawClient, echo_lines
from tests.e2e.targets import Target

STREAM = b'{"a": 1}\n\r\nsecond\r\n\xff\xfe\nl\xc3\xa9\n'
LINES = 5


def test_a_line_is_answered_with_the_seven_fields(stack: Target) -> None:
    with RawClient(stack.echo) as client:
        [answer] = echo_lines(client, [b'{"hello": "world"}'])
    assert answer["body"] == '{"hello": "world"}'
    assert (answer["server"], answer["event"], answer["seq"]) == ("echo", "DATA", 1)
    assert answer["remote_addr"].count(":") == 1
    assert len(answer["uuid"]) == 36
    assert answer["worker"] > 0
    assert len(answer) == 7


def test_the_events_of_one_connection_hit_different_workers_and_are_counted_across_them(stack: Target) -> None:
    with RawClient(stack.echo) as client:
        answers = echo_lines(client, [b"x"] * 200)
    assert [answer["seq"] for answer in answers] == list(range(1, 201))
    assert len({answer["worker"] for answer in answers}) > 1
    assert len({answer["uuid"] for answer in answers}) == 1


@pytest.mark.parametrize("size", [1, 2, 7, len(STREAM)])
def test_pieces_of_any_size_give_the_same_answers(stack: Target, size: int) -> None:
    with RawClient(stack.echo) as client:
        client.send(*(STREAM[i : i + size] for i in range(0, len(STREAM), size)))
        answers = [json.loads(client.line()) for _ in range(LINES)]
    assert [answer.get("body") for answer in answers] == ['{"a": 1}', "", "second", None, "lé"]
    assert base64.b64decode(answers[3]["body_base64"]) == b"\xff\xfe"
    assert [answer["seq"] for answer in answers] == [1, 2, 3, 4, 5]


def test_a_cut_at_every_byte_gives_the_same_answers(stack: Target) -> None:
    for position in range(1, len(STREAM)):
        with RawClient(stack.echo) as client:
            client.send(STREAM[:position], STREAM[position:])
            answers = [json.loads(client.line()) for _ in range(LINES)]
        assert [answer["seq"] for answer in answers] == [1, 2, 3, 4, 5]


def test_a_last_line_without_its_end_is_answered_when_the_client_half_closes(stack: Target) -> None:
    with RawClient(stack.echo) as client:
        client.send(b"first\nlast")
        client.half_close()
        answers = [json.loads(line) for line in client.rest().splitlines()]
    assert [(answer["body"], answer["seq"]) for answer in answers] == [("first", 1), ("last", 2)]


def test_a_line_over_the_limit_is_an_error_line_and_the_end(stack: Target) -> None:
    with RawClient(stack.echo) as client:
        client.send(b"ok\n" + b"x" * 70_000 + b"\n")
        ok, error = (json.loads(line) for line in client.rest().splitlines())
    assert ok["seq"] == 1
    assert error == {"error": "line too long", "limit": 65536}


def test_200_connections_at_once_are_each_counted_for_themselves(stack: Target) -> None:
    clients = [RawClient(stack.echo) for _ in range(200)]
    try:
        for _ in range(3):
            for number, client in enumerate(clients):
                client.send(b"%d\n" % number)
        for number, client in enumerate(clients):
            answers = [json.loads(client.line()) for _ in range(3)]
            assert [answer["seq"] for answer in answers] == [1, 2, 3]
            assert {answer["body"] for answer in answers} == {str(number)}
    finally:
        for client in clients:
            client.__exit__()


def test_parallel_talkers_never_get_each_others_answers(stack: Target) -> None:
    def talk(name: int) -> None:
        with RawClient(stack.echo) as client:
            for number, answer in enumerate(echo_lines(client, [b"%d" % name] * 20), start=1):
                assert (answer["body"], answer["seq"]) == (str(name), number)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(talk, range(64)))
