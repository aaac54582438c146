"""`delete`, `prune`, `queues`, `forget`; and `mail --headers`, as somebody sees a mail who gets it delivered."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from services.smtp import MailStore
from tests.services.smtp.cli.runs import run
from tests.services.smtp.mailstore.samples import TEXT, add, mail_id, numbers


def test_mails_are_deleted_by_id_and_those_that_are_not_there_are_named(store: MailStore, url: str) -> None:
    for number in range(3):
        add(store, number)
    assert run("--store", url, "delete", mail_id(0)) == (0, b"", "")
    code, output, errors = run("--store", url, "delete", mail_id(0), mail_id(2), "x")
    assert (code, output) == (1, b"")
    assert [line.split(":")[0] for line in errors.splitlines()] == [
        f"there is no mail {mail_id(0)}",
        "there is no mail x",
    ]
    assert numbers(store) == [1]


def test_pruning_goes_on_until_all_is_removed(store: MailStore, url: str) -> None:
    for number in range(250):
        add(store, number)
    assert run("--store", url, "prune", "--keep", "3") == (0, b"247 mails removed\n", "")
    assert numbers(store) == [247, 248, 249]


def test_pruning_by_age(store: MailStore, url: str) -> None:
    for number, hours in enumerate([30, 10]):
        add(store, number, received_at=datetime.now(UTC) - timedelta(hours=hours))
    assert run("--store", url, "prune", "--keep", "1000", "--older", "1d") == (0, b"1 mails removed\n", "")
    assert numbers(store) == [1]


def test_pruning_needs_to_be_told_what(store: MailStore, url: str) -> None:
    add(store)
    code, _, errors = run("--store", url, "prune")
    assert (code, "--keep 1000" in errors) == (2, True)
    code, _, errors = run("--store", url, "prune", "--older", "week")
    assert (code, errors.startswith("--older is 'week'")) == (2, True)
    with pytest.raises(SystemExit):
        run("--store", url, "prune", "--keep", "-1")
    assert numbers(store) == [0]


def test_groups_are_listed_and_forgotten_and_hold_back_pruning_until_then(store: MailStore, url: str) -> None:
    queue = store.queue("relay", start="all")
    for number in range(3):
        add(store, number)
    claims = queue.claim(2)
    queue.settle(claims[0])
    assert run("--store", url, "queues") == (0, b"relay  1 waiting  1 open\n", "")
    assert json.loads(run("--store", url, "queues", "--json")[1]) == [{"group": "relay", "waiting": 1, "open": 1}]
    assert run("--store", url, "prune", "--keep", "0")[1] == b"1 mails removed\n"
    assert run("--store", url, "forget", "relay") == (0, b"", "")
    assert run("--store", url, "prune", "--keep", "0")[1] == b"2 mails removed\n"
    code, _, errors = run("--store", url, "forget", "relay")
    assert (code, errors.startswith("there is no group relay")) == (1, True)


def test_a_mail_is_printed_with_the_lines_of_its_delivery_on_demand(store: MailStore, url: str) -> None:
    add(store)
    code, output, _ = run("--store", url, "mail", mail_id(0), "--headers", env={"SMTP_HOSTNAME": "mx.test"})
    lines = output.split(b"\r\n")
    assert code == 0
    assert lines[0] == b"Return-Path: <from@a.test>"
    assert lines[1] == b"Received: from c ([IPv6:::1])"
    assert lines[2].startswith(b"\tby mx.test with SMTP id")
    assert output.endswith(TEXT)
    code, output, errors = run("--store", url, "mail", mail_id(1), "--headers")
    assert (code, output, errors.startswith("there is no mail")) == (1, b"", True)
