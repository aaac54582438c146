"""The page about aiosmtpd leaves nothing of it out, proves what it says, and has the differences that are tested."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Iterator
from importlib.resources import files

import aiosmtpd.controller
import aiosmtpd.handlers
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.differential.rules import RULES
from tests.differential.table import differences
from tests.docs.proven import is_proof, rows, text

PAGE = "docs/aiosmtpd.md"
HERE = {"works", "differs", "no"}


def words() -> set[str]:
    """All that the page has in code spans."""
    return {word for span in re.findall(r"`([^`]+)`", text(PAGE)) for word in re.findall(r"\w+", span)}


def documented(page: str, pattern: str) -> set[str]:
    """Names in the documentation that comes with aiosmtpd."""
    return set(re.findall(pattern, (files("aiosmtpd.docs") / page).read_text(), re.MULTILINE))


def parameters(function: object) -> set[str]:
    assert callable(function)
    return {
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }


def session() -> set[str]:
    loop = asyncio.new_event_loop()
    loop.close()
    return set(vars(Session(loop)))


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("hooks", documented("handlers.rst", r"^\.\. (?:py:)?method:: (handle_\w+)")),
        ("Session", session() | documented("concepts.rst", r"^   \.\. (?:py:)?attribute:: (\w+)")),
        ("Envelope", set(vars(Envelope()))),
        ("options of SMTP", parameters(SMTP.__init__)),
        ("SMTP", documented("smtp.rst", r"^   \.\. (?:py:)?attribute:: (\w+)")),
        ("options of Controller", parameters(aiosmtpd.controller.Controller.__init__)),
        ("more options of Controller", parameters(aiosmtpd.controller.BaseThreadedController.__init__)),
        ("handlers", set(vars(aiosmtpd.handlers)["__all__"])),
    ],
)
def test_nothing_of_aiosmtpd_is_left_out(what: str, names: set[str]) -> None:
    assert len(names) > 3, f"of {what} next to nothing was found"
    assert names - words() == set()


def test_every_row_says_how_it_is_here_and_names_its_test_or_why_not() -> None:
    table = rows(PAGE)
    assert len(table) > 60
    for what, here, how, proof in table:
        assert here in HERE, what
        assert here == "works" or how, f"{what}: no reason"
        assert is_proof(proof) or (here == "no" and proof == "—"), what


@pytest.fixture
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # what the examples of the rules do
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("quiet")
def test_the_differences_are_those_of_the_differential_test() -> None:
    """`python -m tests.differential.table` prints what belongs there."""
    assert text(PAGE).endswith(f"\n\n{differences()}\n")
    assert len(RULES) > 30
