"""Command lines, paths and parameters."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtp.errors import RemoteProtocolError
from services.smtp.grammar import Command, is_host, parse_command, parse_hello, parse_mail, parse_rcpt


def refused(error: pytest.ExceptionInfo[RemoteProtocolError]) -> int:
    return error.value.reply.code


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"quit", Command("QUIT", "")),
        (b"QUIT  ", Command("QUIT", "")),
        (b"Mail FROM:<a@b> SIZE=1 ", Command("MAIL", "FROM:<a@b> SIZE=1")),
        (b"NOOP  two  words", Command("NOOP", "two  words")),
    ],
)
def test_a_line_is_a_verb_and_an_argument(line: bytes, command: Command) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize(
    "line", [b"", b" ", b" NOOP", b"NO\tOP", b"N0OP", b"NOOP\r", b"NO\0OP", b"\x16\x03\x01", b"\xff"]
)
def test_what_is_no_verb_is_500(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        parse_command(line)
    assert refused(error) == 500


def test_an_address_that_is_not_ascii_is_refused_with_the_code_made_for_it() -> None:
    """RFC 6531 section 3.5; SMTPUTF8 is not announced."""
    for line in ("MAIL FROM:<é@b>", "rcpt to:<a@ü>"):
        with pytest.raises(RemoteProtocolError) as error:
            parse_command(line.encode())
        assert str(error.value).startswith("553 5.6.7 ")


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("<a@b>", "a@b"),
        ("<A.b-c+d@Sub-1.Example>", "A.b-c+d@Sub-1.Example"),
        ("<!#$%&'*+-/=?^_`{|}~@b>", "!#$%&'*+-/=?^_`{|}~@b"),
        ('<"a b>"@c>', '"a b>"@c'),
        ('<"a\\"\\\\@ "@c>', '"a\\"\\\\@ "@c'),
        ('<""@c>', '""@c'),
        ("<a@[127.0.0.1]>", "a@[127.0.0.1]"),
        ("<a@[IPv6:::1]>", "a@[IPv6:::1]"),
        ("<@one.test,@two.test:a@b>", "a@b"),
        ("<a@my_container>", "a@my_container"),
        (f"<{'a' * 64}@b>", "a" * 64 + "@b"),
        (f"<a@{'b' * 249}.cc>", "a@" + "b" * 249 + ".cc"),
    ],
)
def test_addresses(path: str, address: str) -> None:
    """RFC 5321 4.1.2; a source route is taken and ignored (appendix C)."""
    assert parse_mail(f"FROM:{path}").address == address
    assert parse_rcpt(f"to: {path}") == address


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a@b",
        "<a@b",
        "a@b>",
        "<<a@b>>",
        "<a@b>SIZE=1",
        "<a@b>x",
        "<a>",
        "<@b>",
        "<a@>",
        "<a@b.>",
        "<a@.b>",
        "<a..b@c>",
        "<.a@b>",
        "<a.@b>",
        "<a@-b>",
        "<a@b->",
        "<a b@c>",
        "<a@b c>",
        "< a@b>",
        "<a@b >",
        "<a@b@c>",
        '<"a@b>',
        '<a"b"@c>',
        "<a@[]>",
        "<a@[300.0.0.1]>",
        "<a@[::1]>",
        "<a@[IPv6:1]>",
        "<a@[tag:x]>",
        "<@a:>",
        "<@a,b:c@d>",
        "<a@b>,<c@d>",
        "Name <a@b>",
        f"<{'a' * 65}@b>",
        f"<a@{'b' * 256}>",
        f"<@{'r' * 127}.x,@{'r' * 120}.x:a@b>",
    ],
)
def test_what_is_no_address_is_501(path: str) -> None:
    for parse in (lambda: parse_mail(f"FROM:{path}"), lambda: parse_rcpt(f"TO:{path}")):
        with pytest.raises(RemoteProtocolError) as error:
            parse()
        assert refused(error) == 501


def test_the_null_sender_is_the_empty_string_and_no_recipient() -> None:
    assert parse_mail("FROM:<>").address == ""
    with pytest.raises(RemoteProtocolError) as error:
        parse_rcpt("TO:<>")
    assert refused(error) == 501


def test_postmaster_needs_no_domain_as_recipient_only() -> None:
    """RFC 5321 4.5.1."""
    assert parse_rcpt("TO:<Postmaster>") == "Postmaster"
    with pytest.raises(RemoteProtocolError) as error:
        parse_mail("FROM:<postmaster>")
    assert refused(error) == 501


def test_parameters_of_mail() -> None:
    assert parse_mail("FROM:<a@b> size=10  Body=8BitMime") == ("a@b", ("SIZE=10", "BODY=8BITMIME"), 10)
    assert parse_mail("FROM:<> BODY=7BIT") == ("", ("BODY=7BIT",), None)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ("SIZE", 501),
        ("SIZE=", 501),
        ("SIZE=-1", 501),
        ("SIZE=1e3", 501),
        (f"SIZE={10**20}", 501),
        ("SIZE=1 SIZE=1", 501),
        ("SIZE=1 size=2", 501),
        ("SIZE==1", 501),
        ("BODY", 501),
        ("BODY=BINARYMIME", 501),
        ("=1", 501),
        ("-X=1", 501),
        ("SMTPUTF8", 555),
        ("RET=HDRS", 555),
        ("AUTH=<>", 555),
    ],
)
def test_parameters_that_are_refused(parameters: str, code: int) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        parse_mail(f"FROM:<a@b> {parameters}")
    assert refused(error) == code


def test_rcpt_has_no_parameters() -> None:
    with pytest.raises(RemoteProtocolError) as error:
        parse_rcpt("TO:<a@b> NOTIFY=NEVER")
    assert refused(error) == 555


@pytest.mark.parametrize("argument", ["", "TO:<a@b>", "FROM", "FROM<a@b>", "FROM <a@b>", "FROM :<a@b>"])
def test_mail_needs_its_keyword(argument: str) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        parse_mail(argument)
    assert refused(error) == 501


def test_a_client_may_call_itself_anything_that_is_one_word() -> None:
    for name in ("localhost", "[127.0.0.1]", "my_host", "-"):
        assert parse_hello(name) == name
    for name in ("", "two words"):
        with pytest.raises(RemoteProtocolError) as error:
            parse_hello(name)
        assert refused(error) == 501


def test_hosts() -> None:
    assert all(map(is_host, ["localhost", "mx.example", "[127.0.0.1]", "[IPv6:::1]"]))
    assert not any(map(is_host, ["", "a b", "mx.example\r\n", "[1]", "é", "x" * 256]))


@pytest.mark.parametrize("filler", ["a", "a.", "a-", "@a,", '"', '\\"', "[", "<", "a@"])
def test_parsing_takes_time_in_proportion_to_the_line(filler: str) -> None:
    r"""A pattern that tries every split of a hostile line would take minutes for the longest one."""
    started = time.perf_counter()
    for text in (filler * 20_000, "<" + filler * 20_000, "<@" + filler * 20_000, '<"' + filler * 20_000):
        with pytest.raises(RemoteProtocolError):
            parse_mail(f"FROM:{text}")
    assert time.perf_counter() - started < 5


@given(st.binary(max_size=60))
def test_any_line_is_a_command_or_refused(line: bytes) -> None:
    try:
        verb, argument = parse_command(line)
    except RemoteProtocolError:
        return
    assert verb.isalpha()
    assert verb.isupper()
    assert argument == argument.strip()


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_an_accepted_address_can_be_written_into_a_command_again(text: str) -> None:
    try:
        address = parse_rcpt(f"TO:<{text}>")
    except RemoteProtocolError:
        return
    assert parse_rcpt(f"TO:<{address}>") == address
