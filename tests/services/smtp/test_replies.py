"""Replies on the wire, and what hooks may return for one."""

from __future__ import annotations

import pytest

from services.smtp.errors import HandlerFaultError
from services.smtp.replies import Reply


def test_one_line_and_many() -> None:
    assert Reply.of(250, "2.0.0", "OK").encode() == b"250 2.0.0 OK\r\n"
    assert Reply(214, ("one", "two", "three")).encode() == b"214-one\r\n214-two\r\n214 three\r\n"


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("250 OK", Reply(250, ("OK",))),
        (b"550 5.1.1 no such user", Reply(550, ("5.1.1 no such user",))),
        ("250", Reply(250, ("",))),
        ("451 ", Reply(451, ("",))),
    ],
)
def test_a_hook_returns_a_line(line: str | bytes, reply: Reply) -> None:
    assert Reply.parse(line) == reply


def test_a_hook_returns_lines() -> None:
    lines = ["250-mx.test", "250-SIZE 1", "250 HELP"]
    assert Reply.parse_lines(lines) == Reply(250, ("mx.test", "SIZE 1", "HELP"))
    assert Reply.parse_lines(lines).wire_lines() == lines


@pytest.mark.parametrize(
    "line",
    [
        None,
        250,
        "",
        "OK",
        "25 OK",
        "2500 OK",
        "150 OK",
        "650 OK",
        "290 OK",
        "354 go on",
        "250OK",
        "250-OK",
        "250 OK\r\n",
        "250 OK\n250 OK",
        "250 OK\r\n354 go on",
        "250 caf\u00e9",
        b"250 \xff",
        "250 \0",
        "250 " + "x" * 507,
        ["250 OK"],
    ],
)
def test_what_is_no_reply_line_is_refused(line: object) -> None:
    """A line end in a reply would answer a command that the client has not sent yet."""
    with pytest.raises(HandlerFaultError):
        Reply.parse(line)


@pytest.mark.parametrize(
    "lines", [[], ["250 a", "250 b"], ["250-a", "250-b"], ["250-a", "550 b"], ["250-a", None], "250 a"]
)
def test_what_are_no_reply_lines_is_refused(lines: object) -> None:
    with pytest.raises(HandlerFaultError):
        Reply.parse_lines(lines)


def test_an_enhanced_code_is_added_where_there_is_none() -> None:
    assert Reply(250, ("OK",)).with_status() == Reply(250, ("2.0.0 OK",))
    assert Reply(550, ("5.1.1 No",)).with_status() == Reply(550, ("5.1.1 No",))
    assert Reply(451, ("1.2.3 is no status of this class",)).with_status().lines[0].startswith("4.0.0 ")


def test_an_enhanced_code_of_another_class_is_text() -> None:
    """A client that goes by it would take a refused mail for an accepted one (RFC 2034 section 4)."""
    assert Reply(550, ("2.0.0 No",)).with_status() == Reply(550, ("5.0.0 2.0.0 No",))


def test_a_line_that_an_enhanced_code_makes_too_long_is_refused() -> None:
    """RFC 5321 4.5.3.1.5: 512 bytes with CR LF."""
    longest = Reply.parse("250 " + "x" * 500)
    assert len(longest.with_status().encode()) == 512
    with pytest.raises(HandlerFaultError, match="511 bytes"):
        Reply.parse("250 " + "x" * 501).with_status()
    own = Reply.parse("550 5.1.1 " + "x" * 500)
    assert own.with_status() == own
