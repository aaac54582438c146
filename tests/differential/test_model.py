"""A small run of the model-based fuzz, and whether it would find anything at all."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import pytest

from services.smtp import MailEnvelope, MailInfo, SmtpProtocol
from services.smtp.delivery import Delivery
from services.smtp.replies import Reply
from services.smtp.state import Transaction
from tests.differential.model import DURABLE, HAPPENS, world
from tests.differential.reference import ModelError
from tests.differential.world import MAIL_STORES
from tests.services.smtp.harness import MemoryMailStore

WORLDS = 30
SEED = 1


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # what fails on purpose
    yield
    logging.disable(logging.NOTSET)


def run_worlds(count: int, first: int = 1) -> Counter[str]:
    happened: Counter[str] = Counter()
    for number in range(first, first + count):
        current = world(f"{SEED}:{number}", number)
        current.run()
        happened += current.happened
    return happened


def test_whatever_fails_the_service_does_what_the_model_says() -> None:
    happened = set(run_worlds(WORLDS))
    assert {"mails acknowledged", "a worker died", "the session store failed", "a session expired"} <= happened
    assert happened <= HAPPENS | {"ENDED failed"}


@pytest.mark.parametrize("turn", range(1, 1 + len(MAIL_STORES)))
def test_on_real_stores_too(turn: int) -> None:
    assert run_worlds(1, first=turn * DURABLE)["mails acknowledged"]


def _loses_mails(monkeypatch: pytest.MonkeyPatch) -> None:
    add = MemoryMailStore.add

    def add_some(self: MemoryMailStore, envelope: MailEnvelope, pieces: Iterable[bytes]) -> MailInfo:
        info = add(self, envelope, pieces)
        if len(self.kept) % 5 == 0:
            del self.kept[info.id]
        return info

    monkeypatch.setattr(MemoryMailStore, "add", add_some)


def _stores_mails_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    add = MemoryMailStore.add

    def add_twice(self: MemoryMailStore, envelope: MailEnvelope, pieces: Iterable[bytes]) -> MailInfo:
        text = list(pieces)
        other = {name: getattr(envelope, name) for name in MailEnvelope.__dataclass_fields__}
        add(self, MailEnvelope(**other | {"id": envelope.id[::-1]}), text)
        return add(self, envelope, text)

    monkeypatch.setattr(MemoryMailStore, "add", add_twice)


def _acknowledges_what_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Delivery.store

    def always(self: Delivery, transaction: Transaction, text: Iterable[bytes], size: int) -> Reply | None:
        store(self, transaction, text, size)
        return None

    monkeypatch.setattr(Delivery, "store", always)


def _begins_anew_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SmtpProtocol, "expired_reply", b"250 go on\r\n")


@pytest.mark.parametrize(
    "damage",
    [
        _loses_mails,
        _stores_mails_twice,
        _acknowledges_what_is_not_stored,
        _begins_anew_when_the_time_is_over,
    ],
)
def test_a_fault_of_the_service_is_found(
    damage: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(monkeypatch)
    with pytest.raises(ModelError):
        run_worlds(WORLDS)
