"""What the log has of foreign code's errors."""

from __future__ import annotations

import pytest

from services.smtp.errors import HandlerFaultError
from services.smtp.foreign import without_messages


def fail_for_a_reason() -> None:
    try:
        int("the secret")
    except ValueError as error:
        raise KeyError("the secret") from error


def fail_alone() -> None:
    try:
        int("the secret")
    except ValueError:
        raise KeyError("the secret") from None


def fail_while_failing() -> None:
    try:
        int("the secret")
    finally:
        raise HandlerFaultError("it returned no reply line")


def test_an_error_has_its_type_its_place_and_what_it_came_of_and_no_message() -> None:
    with pytest.raises(KeyError) as caught:
        fail_for_a_reason()
    told = without_messages(caught.value)
    assert told.startswith("KeyError\n")
    assert "in fail_for_a_reason\n" in told
    assert "\nwhich came of ValueError\n" in told
    assert "the secret" not in told.replace('"the secret"', "")  # but for the lines of code, which are no message


def test_what_an_error_hides_stays_hidden() -> None:
    with pytest.raises(KeyError) as caught:
        fail_alone()
    assert "ValueError\n" not in without_messages(caught.value)


def test_our_own_error_says_what_is_wrong_with_the_code() -> None:
    with pytest.raises(HandlerFaultError) as caught:
        fail_while_failing()
    told = without_messages(caught.value)
    assert told.startswith("it returned no reply line\n")
    assert "\nwhich came of ValueError\n" in told


def test_errors_that_come_of_one_another_end() -> None:
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    assert without_messages(one) == "ValueError\nwhich came of KeyError"
