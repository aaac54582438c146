"""HELP."""

from __future__ import annotations

import pytest

from services.smtp.errors import RemoteProtocolError
from services.smtp.help import SYNTAX, help_reply
from services.smtp.limits import REPLY_LINE
from services.smtp.sequence import SEQUENCE


def test_there_is_help_for_every_command() -> None:
    assert set(SYNTAX) == set(SEQUENCE)


@pytest.mark.parametrize("topic", ["", *SYNTAX, "mail"])
def test_help_fits_its_lines(topic: str) -> None:
    reply = help_reply(topic, auth=True)
    assert reply.code == 214
    assert all(len(line) + 2 <= REPLY_LINE for line in reply.wire_lines())


def test_without_an_argument_all_commands_are_named() -> None:
    assert all(verb in str(help_reply("", auth=True)) for verb in SEQUENCE)
    assert "AUTH" not in str(help_reply("", auth=False))


@pytest.mark.parametrize("topic", ["XXXX", "MAIL FROM", "STARTTLS", "AUTH"])
def test_of_what_there_is_no_command_there_is_no_help(topic: str) -> None:
    """RFC 5321 4.3.2 allows 504 for it."""
    with pytest.raises(RemoteProtocolError) as error:
        help_reply(topic, auth=False)
    assert str(error.value).startswith("504 5.5.4 ")


def test_the_parameter_auth_is_told_where_there_is_auth() -> None:
    assert "[AUTH=xtext]" in str(help_reply("MAIL", auth=True))
    assert "AUTH" not in str(help_reply("mail", auth=False))
