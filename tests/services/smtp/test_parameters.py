"""Parameters of MAIL and RCPT."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.smtp import replies
from services.smtp.errors import RemoteProtocolError
from services.smtp.parameters import Parameters, as_options, parse_mail_parameters, parse_rcpt_parameters

BAD = replies.BAD_SENDER


def mail(text: str) -> Parameters:
    return parse_mail_parameters(f" {text}", BAD)


def rcpt(text: str) -> Parameters:
    return parse_rcpt_parameters(f" {text}", BAD)


def test_there_may_be_none() -> None:
    assert parse_mail_parameters("", BAD) == parse_rcpt_parameters("   ", BAD) == {}


@pytest.mark.parametrize("text", ["SIZE=1", "x", ">", "\tSIZE=1"])
def test_a_space_parts_them_from_the_path(text: str) -> None:
    for parse in (parse_mail_parameters, parse_rcpt_parameters):
        with pytest.raises(RemoteProtocolError) as error:
            parse(text, BAD)
        assert error.value.reply is BAD


def test_keywords_have_no_case_and_values_have_where_they_are_somebodys_text() -> None:
    assert as_options(mail("sIzE=7  bOdY=8bitmime ret=full EnViD=MixedCase")) == (
        "SIZE=7",
        "BODY=8BITMIME",
        "RET=FULL",
        "ENVID=MixedCase",
    )
    assert as_options(rcpt("Orcpt=RFC822;MixedCase NoTiFy=neVer")) == ("ORCPT=RFC822;MixedCase", "NOTIFY=NEVER")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SIZE", 501),
        ("SIZE=", 501),
        ("SIZE=-1", 501),
        ("SIZE=1e3", 501),
        ("SIZE=\u0661", 501),
        (f"SIZE={10**20}", 501),
        ("SIZE=1 SIZE=1", 501),
        ("SIZE=1 size=2", 501),
        ("SIZE==1", 501),
        ("SIZE=1\tBODY=7BIT", 501),
        ("SIZE=1\u00a0BODY=7BIT", 501),
        ("BODY", 501),
        ("BODY=BINARYMIME", 501),
        ("SMTPUTF8=1", 501),
        ("SMTPUTF8=", 501),
        ("RET", 501),
        ("RET=ALL", 501),
        ("RET=FULL RET=HDRS", 501),
        ("ENVID", 501),
        ("ENVID=", 501),
        ("ENVID=a=b", 501),
        ("ENVID=a+b", 501),
        ("ENVID=a+2b", 501),
        ("ENVID=+00", 501),
        ("ENVID=+0A", 501),
        ("ENVID=+7F", 501),
        ("ENVID=+FF", 501),
        ("ENVID=é", 501),
        (f"ENVID={'x' * 95}", 501),
        ("ENVID=a ENVID=a", 501),
        ("=1", 501),
        ("-X=1", 501),
        ("é", 501),
        ("NOTIFY=NEVER", 555),
        ("X-UNKNOWN", 555),
        ("MT-PRIORITY=3", 555),
    ],
)
def test_parameters_of_mail_that_are_refused(text: str, code: int) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        mail(text)
    assert error.value.reply.code == code


@pytest.mark.parametrize("text", ["SIZE=0", f"SIZE={10**20 - 1}", "ENVID=+20+09+2B+3D~!", f"ENVID={'x' * 94}"])
def test_parameters_of_mail_that_are_as_long_or_odd_as_they_may_be(text: str) -> None:
    assert as_options(mail(text)) == (text,)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("NOTIFY", 501),
        ("NOTIFY=", 501),
        ("NOTIFY=NEVER,FAILURE", 501),
        ("NOTIFY=FAILURE,NEVER", 501),
        ("NOTIFY=SUCCESS,", 501),
        ("NOTIFY=,", 501),
        ("NOTIFY=SUCCESS,,DELAY", 501),
        ("NOTIFY=SUCCESS, DELAY", 501),
        ("NOTIFY=ALWAYS", 501),
        ("NOTIFY=NEVER NOTIFY=NEVER", 501),
        ("ORCPT", 501),
        ("ORCPT=", 501),
        ("ORCPT=a@b", 501),
        ("ORCPT=rfc822;", 501),
        ("ORCPT=;a@b", 501),
        ("ORCPT=rfc.822;a@b", 501),
        ("ORCPT=rfc822;a=b", 501),
        ("ORCPT=rfc822;a+4", 501),
        ("ORCPT=rfc822;a+4g", 501),
        ("ORCPT=rfc822;a+0D+0ARCPT", 501),
        ("ORCPT=rfc822;é@b", 501),
        ("ORCPT=é;a@b", 501),
        ("ORCPT=utf-8;a+40b", 501),
        ("ORCPT=utf-8;a=b", 501),
        ("ORCPT=utf-8;a\\b", 501),
        ("ORCPT=utf-8;\\x{}", 501),
        ("ORCPT=utf-8;\\x{41}", 501),
        ("ORCPT=utf-8;\\x{E9", 501),
        ("ORCPT=utf-8;\\x{e9}", 501),
        ("ORCPT=utf-8;\\x{0E9}", 501),
        ("ORCPT=utf-8;\\x{D800}", 501),
        ("ORCPT=utf-8;\\x{110000}", 501),
        ("ORCPT=utf-8;a\u0085b", 501),
        (f"ORCPT=rfc822;{'x' * 488}", 501),
        (f"ORCPT=utf-8;{'é' * 245}", 501),
        ("ORCPT=rfc822;a@b ORCPT=rfc822;a@b", 501),
        ("SIZE=1", 555),
        ("RRVS=2014-04-03T23:01:00Z", 555),
    ],
)
def test_parameters_of_rcpt_that_are_refused(text: str, code: int) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        rcpt(text)
    assert error.value.reply.code == code


@pytest.mark.parametrize(
    "text",
    [
        "NOTIFY=NEVER",
        "NOTIFY=SUCCESS,FAILURE,DELAY",
        "NOTIFY=DELAY",
        "ORCPT=rfc822;Bob+2Btag@Example.test",
        "ORCPT=x400;/S=Bob".replace("=Bob", "+3DBob"),
        "ORCPT=utf-8;\\x{E9}@b",
        "ORCPT=utf-8;\\x{5C}\\x{2B}\\x{10FFFF}",
        "ORCPT=UTF-8;é@bücher.test",
        f"ORCPT=rfc822;{'x' * 487}",
        f"ORCPT=utf-8;{'é' * 244}",
    ],
)
def test_parameters_of_rcpt_are_kept_as_they_came(text: str) -> None:
    """RFC 3461 sections 4.1 and 4.2; RFC 6533 section 3 for the type utf-8."""
    assert as_options(rcpt(text)) == (text,)


@pytest.mark.parametrize("keyword", replies.PARAMETER_SYNTAX)
def test_a_value_that_is_refused_is_told_what_it_should_be(keyword: str) -> None:
    parse = rcpt if keyword in {"NOTIFY", "ORCPT"} else mail
    with pytest.raises(RemoteProtocolError) as error:
        parse(f"{keyword}=+")
    assert error.value.reply is replies.PARAMETER_SYNTAX[keyword]
    assert keyword in str(error.value)


def xtext(text: str) -> str:
    return "".join(char if "!" <= char <= "~" and char not in "+=" else f"+{ord(char):02X}" for char in text)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30))
def test_all_that_is_printable_can_be_an_envid(text: str) -> None:
    assert mail(f"ENVID={xtext(text)}") == {"ENVID": xtext(text)}


@given(st.text(min_size=1, max_size=60))
def test_nothing_that_was_encoded_comes_out_as_a_control_character(text: str) -> None:
    try:
        value = mail(f"ENVID={text}")["ENVID"]
    except RemoteProtocolError:
        return
    assert value is not None
    decoded = re.sub(r"\+(..)", lambda match: chr(int(match[1], 16)), value)
    assert decoded.replace("\t", "").isprintable()
