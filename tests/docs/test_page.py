"""The runner of the pages finds what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.docs.blocks import Block
from tests.docs.page import PageRunner

pytest_plugins = ["rr_tcp.testing.fixtures"]


@pytest.fixture
def runner(tmp_path: Path, rr_binary: Path) -> Iterator[PageRunner]:
    with closing(PageRunner(tmp_path, rr_binary)) as runner:
        yield runner


def block(language: str, text: str, title: str = "") -> Block:
    return Block("page.md", 1, language, title, text)


def test_a_program_that_fails_fails_its_page(runner: PageRunner) -> None:
    runner.run(block("python", "assert 1 + 1 == 2\n"))
    with pytest.raises(AssertionError, match=r"page\.md:1 ended with 1"):
        runner.run(block("python", "assert 1 + 1 == 3\n"))


def test_a_command_that_fails_fails_its_page_also_before_the_last_one(runner: PageRunner) -> None:
    with pytest.raises(AssertionError, match="ended with 1"):
        runner.run(block("bash", "false\ntrue\n"))


def test_output_that_is_not_as_promised_fails_its_page(runner: PageRunner) -> None:
    runner.run(block("bash", "echo one; echo two\n"))
    runner.run(block("text", "one\n...\n", "output"))
    with pytest.raises(AssertionError, match="the output is\none"):
        runner.run(block("text", "one\n", "output"))


def test_a_file_is_there_for_the_blocks_after_it(runner: PageRunner) -> None:
    runner.run(block("python", "NUMBER = 1\n", "module.py"))
    runner.run(block("python", "import module\nassert module.NUMBER == 1\n"))


def test_a_server_that_does_not_start_fails_its_page(runner: PageRunner) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"ended by itself(?s:.*)there is no file"):
        runner.run(block("bash", "python -m rr_tcp serve nothing.py:app\n", "first terminal"))
