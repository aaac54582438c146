"""What the faults of the pool take for a failure: for each, what holds, and every way in which it does not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.faults import f02_hung_workers as f02
from tests.faults import f10_file_descriptors as f10
from tests.faults import f11_resets as f11
from tests.faults import f12_stops as f12
from tests.faults import f15_busy_pool as f15
from tests.faults.clients import Log

HANGS = f02.Hangs(20.0, seconds=[20.1, 20.9], alone=[0.01] * 100, beside=[0.05] * 100)
RESETS = f11.Resets(paused=[1.1, 1.3], waited=[1.2, 1.4])
STOPS = f12.Stops(f12.Before.LOAD, codes=[0, 0], seconds=[1.5, 2.0])
BUSY = f15.Busy(dropped=[10.0, 10.1], served=[3.0, 3.1], logged=2)


def test_hung_workers() -> None:
    figures, findings = f02.judge(HANGS)
    assert not findings
    assert figures["the others' NOOP, p99 without and with"] == "10 ms, 50 ms"
    assert figures["ratio"] == "5.0"


@pytest.mark.parametrize(
    ("hangs", "finding"),
    [
        (replace(HANGS, answered=[b"250 OK\r\n"]), "never returned was answered"),
        (replace(HANGS, seconds=[19.0]), "ended before exec_ttl"),
        (replace(HANGS, seconds=[31.0]), "ended 31.0 s after it hung"),
        (replace(HANGS, beside=[*[0.05] * 97, *[20.0] * 3]), "2000.0 times"),
    ],
)
def test_hung_workers_that_harm(hangs: f02.Hangs, finding: str) -> None:
    [found] = f02.judge(hangs)[1]
    assert finding in found


def test_resets() -> None:
    figures, findings = f11.judge(RESETS, Log())
    assert not findings
    assert figures["pause as rr-tcp reset tells it, median and longest"] == "1.20 s, 1.30 s"


@pytest.mark.parametrize(
    ("resets", "log", "finding"),
    [
        (replace(RESETS, kept=[7]), Log(), "did not replace the workers [7]"),
        (RESETS, Log(broken=Counter(RCPT=2)), "2 connections broke while waiting for the reply to RCPT"),
    ],
)
def test_resets_that_harm(resets: f11.Resets, log: Log, finding: str) -> None:
    [found] = f11.judge(resets, log)[1]
    assert finding in found


@pytest.mark.parametrize("stops", [STOPS, f12.Stops(f12.Before.KILLED, codes=[1], seconds=[30.2])])
def test_stops(stops: f12.Stops) -> None:
    assert not f12.judge(stops)[1]


@pytest.mark.parametrize(
    ("stops", "finding"),
    [
        (replace(STOPS, codes=[0, 1]), "1 of 2 stops ended with exit code 1"),
        (replace(STOPS, seconds=[1.0, 31.0]), "1 stops took longer than 30 s: 31.0 s"),
        (f12.Stops(f12.Before.KILLED, codes=[1], seconds=[36.0]), "longer than 35 s"),
        (f12.Stops(f12.Before.KILLED_AND_ON, codes=[1], seconds=[2.0]), "exit code 1"),
    ],
)
def test_stops_that_fail(stops: f12.Stops, finding: str) -> None:
    [found] = f12.judge(stops)[1]
    assert finding in found


def test_a_busy_pool() -> None:
    figures, findings = f15.judge(BUSY)
    assert not findings
    assert figures["asked too early: dropped, after"] == "2, 10.0 to 10.1 s"


@pytest.mark.parametrize(
    ("busy", "finding"),
    [
        (replace(BUSY, answers=["b'' after 3.0 s"]), "wrongly answered: b'' after 3.0 s"),
        (replace(BUSY, dropped=[9.0, 10.0]), "dropped after 9.0 to 10.0 s"),
        (replace(BUSY, dropped=[10.0, 16.0]), "dropped after 10.0 to 16.0 s"),
        (replace(BUSY, logged=1), "the log tells of 1 events"),
    ],
)
def test_a_busy_pool_that_harms(busy: f15.Busy, finding: str) -> None:
    [found] = f15.judge(busy)[1]
    assert finding in found


EXHAUSTION = f10.Exhaustion(1, "and nobody here told it to", noticed=5.6, ended=1.3, restarted=1.9)


def test_file_descriptors() -> None:
    figures, findings = f10.judge(EXHAUSTION)
    assert not findings
    assert figures["without service, in all"] == "8.8 s"


@pytest.mark.parametrize(
    ("seen", "finding"),
    [
        (replace(EXHAUSTION, code=0), "ended with exit code 0"),
        (replace(EXHAUSTION, output=""), "did not say that the server ended by itself"),
    ],
)
def test_file_descriptors_that_nobody_minds(seen: f10.Exhaustion, finding: str) -> None:
    [found] = f10.judge(seen)[1]
    assert finding in found
