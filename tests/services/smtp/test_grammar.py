"""Command lines and their arguments."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtp.errors import RemoteProtocolError
from services.smtp.grammar import (
    Command,
    parse_chunk,
    parse_command,
    parse_hello,
    parse_mail,
    parse_rcpt,
    parse_verify,
)


def refused(error: pytest.ExceptionInfo[RemoteProtocolError]) -> int:
    return error.value.reply.code


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"quit", Command("QUIT", "")),
        (b"QUIT  ", Command("QUIT", "")),
        (b"QUIT \t ", Command("QUIT", "")),
        (b"Mail FROM:<a@b> SIZE=1 ", Command("MAIL", "FROM:<a@b> SIZE=1")),
        (b"NOOP  two  words", Command("NOOP", "two  words")),
        ("RCPT TO:<é@b>".encode(), Command("RCPT", "TO:<é@b>")),
        ("RCPT TO:<a@b> \u00a0".encode(), Command("RCPT", "TO:<a@b> \u00a0")),
    ],
)
def test_a_line_is_a_verb_and_an_argument(line: bytes, command: Command) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b" NOOP",
        b"NO\tOP",
        b"N0OP",
        b"NOOP\r",
        b"NO\0OP",
        b"NOOP \x7f",
        b"\x16\x03\x01",
        b"\xff",
        "é".encode(),
    ],
)
def test_what_is_no_verb_is_500(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        parse_command(line)
    assert refused(error) == 500


@pytest.mark.parametrize("verb", [b"NOOP", b"HELO", b"EHLO", b"HELP", b"XXXX"])
def test_utf8_stands_in_commands_with_addresses_only(verb: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        parse_command(verb + " é".encode())
    assert refused(error) == 500


@pytest.mark.parametrize("address", [b"\xe9@b", b"\xc3\x28@b", b"\xed\xa0\x80@b", b"\xc0\xaf@b", b"\xf4\x90\x80\x80@b"])
def test_what_is_no_utf8_is_500(address: bytes) -> None:
    """A stray byte, half a character, a surrogate, an overlong form, a character above the last one."""
    with pytest.raises(RemoteProtocolError) as error:
        parse_command(b"MAIL FROM:<" + address + b"> SMTPUTF8")
    assert str(error.value).startswith("500 5.5.2 ")


def test_an_address_beyond_ascii_needs_smtputf8() -> None:
    """RFC 6531 section 3.5 has 550 for MAIL and 553 for RCPT."""
    assert parse_mail("FROM:<é@bücher.test> SMTPUTF8") == ("é@bücher.test", ("SMTPUTF8",), None, True)
    assert parse_rcpt("TO:<é@bücher.test>", smtputf8=True).address == "é@bücher.test"
    with pytest.raises(RemoteProtocolError) as error:
        parse_mail("FROM:<é@b>")
    assert str(error.value).startswith("550 5.6.7 ")
    for argument in ("TO:<é@b>", "TO:<@é:a@b>", "TO:<a@b> ORCPT=utf-8;é@b"):
        with pytest.raises(RemoteProtocolError) as error:
            parse_rcpt(argument, smtputf8=False)
        assert str(error.value).startswith("553 5.6.7 ")


def test_utf8_is_kept_as_it_came() -> None:
    """Not normalized: e and a combining accent stay two characters, and are another address than é."""
    decomposed = "e\u0301@b"
    assert parse_mail(f"FROM:<{decomposed}> SMTPUTF8").address == decomposed
    assert parse_mail("FROM:<\u00e9@b> SMTPUTF8").address != decomposed


def test_the_parameters_of_mail() -> None:
    command = parse_mail("FROM:<a@b> size=10  Body=8BitMime RET=hdrs ENVID=QQ+2B314 smtputf8")
    assert command == ("a@b", ("SIZE=10", "BODY=8BITMIME", "RET=HDRS", "ENVID=QQ+2B314", "SMTPUTF8"), 10, True)
    assert parse_mail("FROM:<> BODY=7BIT") == ("", ("BODY=7BIT",), None, False)


def test_the_parameters_of_rcpt() -> None:
    command = parse_rcpt("TO:<a@b> notify=Success,delay orcpt=rfc822;Bob+40c", smtputf8=False)
    assert command == ("a@b", ("NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;Bob+40c"))


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


@pytest.mark.parametrize(
    ("argument", "address", "smtputf8"),
    [
        ("Smith", "Smith", False),
        ("Postmaster", "Postmaster", False),
        ('"Sam Q. Smith"', '"Sam Q. Smith"', False),
        ("a@b", "a@b", False),
        ("<a@b>", "a@b", False),
        ("<postmaster>", "postmaster", False),
        ("<@r:a@b> SMTPUTF8", "a@b", True),
        ("a@b  smtputf8", "a@b", True),
        ("é@b SMTPUTF8", "é@b", True),
    ],
)
def test_vrfy_asks_about_a_user_or_an_address(argument: str, address: str, smtputf8: bool) -> None:
    """RFC 5321 4.1.1.6 and 3.5.1, RFC 6531 3.7.4.2."""
    assert parse_verify(argument) == (address, smtputf8)


@pytest.mark.parametrize(
    "argument",
    ["", "<>", "<a@b", "a@b>", "a@", "@b", "a b", "a@b BODY=8BITMIME", "a@b SMTPUTF8=1", "a@bSMTPUTF8=", '"a', "<a>"],
)
def test_vrfy_of_what_is_neither_is_501(argument: str) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        parse_verify(argument)
    assert refused(error) == 501


def test_vrfy_of_an_address_beyond_ascii_needs_smtputf8() -> None:
    with pytest.raises(RemoteProtocolError) as error:
        parse_verify("é@b")
    assert str(error.value).startswith("553 5.6.7 ")


def test_the_size_of_a_chunk() -> None:
    sizes = {b"BDAT 0": 0, b"bdat 86 last": 86, b"BDAT  007  LAST ": 7, b"BDAT 999999999999999999": 10**18 - 1}
    assert {line: parse_chunk(line) for line in sizes} == sizes
    for line in (
        b"BDAT",
        b"BDAT ",
        b"BDAT -1",
        b"BDAT 1 2",
        b"BDAT 1LAST",
        b"BDAT 0x1",
        b"BDAT 1\t",
        b"BDAT " + b"9" * 19,
    ):
        assert parse_chunk(line) is None


@pytest.mark.parametrize("filler", ["a", "a.", "a-", "@a,", '"', '\\"', "[", "<", "a@", "é", "é-", "ü.", "xn--a."])
def test_parsing_takes_time_in_proportion_to_the_line(filler: str) -> None:
    r"""A pattern that tries every split of a hostile line would take minutes for the longest one."""
    started = time.perf_counter()
    for text in (filler * 20_000, "<" + filler * 20_000, "<@" + filler * 20_000, '<"' + filler * 20_000):
        with pytest.raises(RemoteProtocolError):
            parse_mail(f"FROM:{text}")
    assert time.perf_counter() - started < 5


@given(st.binary(max_size=60) | st.binary(max_size=20).map(b"MAIL ".__add__))
def test_any_line_is_a_command_or_refused(line: bytes) -> None:
    try:
        verb, argument = parse_command(line)
    except RemoteProtocolError:
        return
    assert verb.isascii()
    assert verb.isalpha()
    assert verb.isupper()
    assert argument == argument.strip(" \t")
    assert argument.encode() in line


@given(st.text(max_size=40))
def test_any_argument_is_taken_or_refused(text: str) -> None:
    for parse in (parse_mail, parse_verify, lambda argument: parse_rcpt(argument, smtputf8=True)):
        for argument in (text, f"FROM:<{text}>", f"TO:<a@b> {text}", f"TO:<a@{text}>", f"FROM:<a@b> {text}"):
            try:
                parse(argument)
            except RemoteProtocolError as error:
                assert 500 <= error.reply.code <= 555  # noqa: PT017 - most arguments are refused, some are not
