"""What is kept of a mail between two attempts, and when they are."""

from __future__ import annotations

import pytest

from services.smtp.errors import ProgressError
from services.smtp.forward.progress import Progress, Result, decode_progress, encode_progress, result
from services.smtp.forward.schedule import Schedule

DELIVERED, LATER, FAILED = Result("delivered", 250), Result("later", 450, "busy"), Result("failed", 550)


def test_what_is_kept_comes_back() -> None:
    progress = Progress(since=1.5, tries=3, results={0: DELIVERED, 2: LATER}, reported=[0])
    assert decode_progress(encode_progress(progress)) == progress


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"{}",
        b'{"since":1,"version":2}',
        b'{"since":1,"results":{"0":{"state":"lost"}}}',
        b'{"since":"1"}',
    ],
)
def test_what_cannot_be_read_is_an_error(data: bytes) -> None:
    with pytest.raises(ProgressError, match="cannot be read"):
        decode_progress(data)


def test_two_mails_share_nothing() -> None:
    Progress(since=0).note({0: DELIVERED})
    assert Progress(since=0).results == {}


def test_a_target_is_pending_until_its_result_is_final() -> None:
    progress = Progress(since=0)
    assert progress.pending(3) == [0, 1, 2]
    progress.note({0: DELIVERED, 1: LATER})
    assert progress.pending(3) == [1, 2]
    progress.note({1: FAILED, 2: DELIVERED})
    assert progress.pending(3) == []


def test_a_final_result_stays() -> None:
    progress = Progress(since=0)
    progress.note({0: DELIVERED, 1: FAILED})
    progress.note({0: LATER, 1: DELIVERED})
    assert progress.results == {0: DELIVERED, 1: FAILED}


def test_who_gives_up_says_what_was_said_last() -> None:
    progress = Progress(since=0, results={0: DELIVERED, 1: LATER})
    assert progress.give_up(3, "given up") == {
        1: Result("failed", 450, "given up: busy"),
        2: Result("failed", 0, "given up"),
    }
    assert progress.pending(3) == []


def test_each_final_result_is_reported_once() -> None:
    progress = Progress(since=0, results={0: DELIVERED, 1: LATER, 2: FAILED})
    assert progress.unreported() == {0: DELIVERED, 2: FAILED}
    progress.mark_reported([2, 0])
    assert (progress.unreported(), progress.reported) == ({}, [0, 2])
    progress.note({1: FAILED})
    assert progress.unreported() == {1: FAILED}


def test_the_text_of_a_stranger_is_made_fit_for_a_log() -> None:
    assert result("failed", 550, " \x1b[31mä\r\nnext line" + "x" * 300).text == "[31m next line" + "x" * 186
    assert str(result("failed", 550, "5.1.1 nobody")) == "failed 550 5.1.1 nobody"
    assert str(result("later", text="no answer")) == "later no answer"


def test_intervals_double_up_to_the_longest() -> None:
    schedule = Schedule(first=60, longest=1000)
    delays = [schedule.delay(tries, left=9999) for tries in (1, 2, 3, 4, 5, 6, 7, 1000)]
    assert delays == [60, 120, 240, 480, 960, 1000, 1000, 1000]


def test_the_last_attempt_is_at_the_end() -> None:
    assert Schedule(first=60).delay(1, left=10) == 10
    assert Schedule(first=60).delay(1, left=-10) == 0


def test_the_other_side_may_ask_for_more_time() -> None:
    assert Schedule(first=60).delay(1, left=9999, at_least=500) == 500
    assert Schedule(first=60).delay(1, left=100, at_least=500) == 100


def test_chance_makes_an_interval_up_to_a_quarter_shorter() -> None:
    assert [Schedule(first=100).delay(1, left=9999, chance=chance) for chance in (0, 0.5, 1)] == [100, 87.5, 75]
