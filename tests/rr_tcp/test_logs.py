"""LOG_LEVEL."""

from __future__ import annotations

import logging

import pytest

from rr_tcp.errors import ConfigurationError
from rr_tcp.logs import log_level


@pytest.mark.parametrize(
    ("env", "level"),
    [
        ({}, logging.INFO),
        ({"LOG_LEVEL": ""}, logging.INFO),
        ({"LOG_LEVEL": "DEBUG"}, logging.DEBUG),
        ({"LOG_LEVEL": "warning"}, logging.WARNING),
    ],
)
def test_a_level_has_a_name_in_capitals_or_not(env: dict[str, str], level: int) -> None:
    assert log_level(env) == level


@pytest.mark.parametrize("name", ["chatty", "10", " "])
def test_a_level_that_there_is_not_is_named_with_what_to_give(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"LOG_LEVEL is '{name}': give DEBUG, INFO"):
        log_level({"LOG_LEVEL": name})
