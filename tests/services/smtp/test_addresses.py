"""Paths, mailboxes, domains and address literals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtp import replies
from services.smtp.addresses import is_host, parse_recipient, parse_sender, parse_verified
from services.smtp.errors import RemoteProtocolError

BAD = replies.BAD_SENDER


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
        ("<a@[ipv6:2001:db8::192.0.2.1]>", "a@[ipv6:2001:db8::192.0.2.1]"),
        ("<@one.test,@two.test:a@b>", "a@b"),
        ("<@[127.0.0.1]:a@b>", None),
        ("<a@my_container>", "a@my_container"),
        (f"<{'a' * 64}@b>", "a" * 64 + "@b"),
        (f"<a@{'b' * 249}.cc>", "a@" + "b" * 249 + ".cc"),
        ("<a@xn--bcher-kva.test>", "a@xn--bcher-kva.test"),
        ("<é@b>", "é@b"),
        ('<"é "@b>', '"é "@b'),
        ("<用户@例子.广告>", "用户@例子.广告"),
        ("<a@bücher.test>", "a@bücher.test"),
        ("<@bücher.test:a@b>", "a@b"),
        (f"<{'é' * 32}@b>", "é" * 32 + "@b"),
    ],
)
def test_addresses(path: str, address: str | None) -> None:
    """RFC 5321 4.1.2, RFC 6531 3.3; a source route is taken and ignored (RFC 5321 appendix C), of domains alone."""
    for parse in (parse_sender, parse_recipient):
        if address is None:
            with pytest.raises(RemoteProtocolError):
                parse(path, BAD)
        else:
            assert parse(path + " SIZE=1", BAD) == (address, " SIZE=1")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a@b",
        "<a@b",
        "a@b>",
        "<<a@b>>",
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
        '<"a\\é"@b>',
        "<a@[]>",
        "<a@[300.0.0.1]>",
        "<a@[127.0.0.01]>",
        "<a@[::1]>",
        "<a@[IPv6:1]>",
        "<a@[IPv6:fe80::1%25eth0]>",
        "<a@[tag:x]>",
        "<@a:>",
        "<@a,b:c@d>",
        "Name <a@b>",
        f"<{'a' * 65}@b>",
        f"<a@{'b' * 256}>",
        f"<@{'r' * 127}.x,@{'r' * 120}.x:a@b>",
        f"<{'é' * 33}@b>",
        f"<a@{'é' * 60}.{'é' * 60}.test>",
        f"<{'é' * 32}@{'.'.join(['é' * 20] * 5)}.test>",  # 276 bytes
        f"<a@{'ü' * 63}.test>",
        "<a@É.test>",
        "<a@e\u0301.test>",
        "<a@\u2603.test>",
        "<a@a。b>",
        "<a@é-.test>",
        "<a@é_é.test>",
        "<a@-é.test>",
        "<@\u2603.test:a@b>",
        "<a\u0085b@c>",
        "<a\u2028b@c>",
        '<"a\u009f"@c>',
        "<a\tb@c>",
        "<a@b\0>",
    ],
)
def test_what_is_no_address_is_refused(path: str) -> None:
    """Limits count bytes; domains beyond ASCII are those of IDNA2008, so lower-case, composed and of letters."""
    for parse in (parse_sender, parse_recipient):
        with pytest.raises(RemoteProtocolError) as error:
            parse(path, BAD)
        assert error.value.reply is BAD


def test_the_null_sender_is_the_empty_string_and_no_recipient() -> None:
    assert parse_sender("<> BODY=7BIT", BAD) == ("", " BODY=7BIT")
    with pytest.raises(RemoteProtocolError):
        parse_recipient("<>", BAD)


def test_postmaster_needs_no_domain_as_recipient_only() -> None:
    """RFC 5321 4.5.1."""
    assert parse_recipient("<Postmaster>", BAD).address == "Postmaster"
    assert parse_recipient("<POSTMASTER@b>", BAD).address == "POSTMASTER@b"
    with pytest.raises(RemoteProtocolError):
        parse_sender("<postmaster>", BAD)


def test_a_name_to_verify_stands_with_or_without_brackets() -> None:
    assert parse_verified("a@b SMTPUTF8", BAD) == ("a@b", " SMTPUTF8")
    assert parse_verified("<a@b>", BAD) == ("a@b", "")
    assert parse_verified("john.doe", BAD) == ("john.doe", "")
    with pytest.raises(RemoteProtocolError):
        parse_verified("a" * 65, BAD)


def test_hosts() -> None:
    assert all(map(is_host, ["localhost", "mx.example", "[127.0.0.1]", "[IPv6:::1]"]))
    assert not any(map(is_host, ["", "a b", "mx.example\r\n", "[1]", "é", "bücher.test", "x" * 256]))


@given(st.text(max_size=40))
def test_an_accepted_address_can_be_written_into_a_command_again(text: str) -> None:
    try:
        address, _ = parse_recipient(f"<{text}>", BAD)
    except RemoteProtocolError:
        return
    assert parse_recipient(f"<{address}>", BAD) == (address, "")
    assert "\r" not in address
    assert "\n" not in address
    assert len(address.splitlines()) == 1
