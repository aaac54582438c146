"""The dialogues of the clients are right, so that whatever goes wrong in a run is not their doing."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random

from rr_tcp import App
from rr_tcp.testing import ConnectionDriver, MemorySessionStore
from services.smtp import SmtpProtocol, SmtpSettings
from tests.faults.dialogues import Dialogue, Expected, make_dialogue, make_text, pieces
from tests.faults.ledger import Attempt, audit, read_mails

DIALOGUES = 60


def replies(data: bytes) -> list[bytes]:
    """The last lines of all replies."""
    return [line for line in data.splitlines(keepends=True) if line[3:4] != b"-"]


def hold(app: App, dialogue: Dialogue, random: Random) -> None:
    """Has the dialogue with a service, without a server between the two."""
    client = ConnectionDriver(app, "smtp")
    written = client.connect()
    for step in dialogue.steps:
        for _, attempt in step.ends:
            attempt.sent = True
        answers = replies(written + client.send(*pieces(random, step.data)))
        written = b""
        if not any(expected.what == "greeting" for expected in step.expected) and step is dialogue.steps[0]:
            answers = answers[1:]
        assert [answer[:3] for answer in answers] == [expected.code for expected in step.expected]
        for expected, answer in zip(step.expected, answers, strict=True):
            _note(expected, answer)
    assert client.closed == dialogue.quits


def _note(expected: Expected, answer: bytes) -> None:
    if expected.attempt is not None:
        expected.attempt.reply = answer


def test_the_service_answers_every_dialogue_as_expected_and_stores_its_mails(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/mail.db"
    protocol = SmtpProtocol(SmtpSettings(mail_store=url))
    app, random, attempts, kinds = App(store=MemorySessionStore()), Random(1), list[Attempt](), Counter[bool]()  # noqa: S311 - the same dialogues in every run
    app.add("smtp", protocol)
    with closing(protocol), closing(app):
        for number in range(DIALOGUES):
            dialogue = make_dialogue(random, str(number))
            hold(app, dialogue, random)
            attempts += dialogue.attempts
            kinds[dialogue.quits] += 1
    result = audit(attempts, read_mails(url))
    assert result.findings == []
    assert result.unanswered == 0
    assert min(kinds[True], kinds[False]) > 0
    assert result.acknowledged == len(attempts) - kinds[False]


def test_pieces_are_the_whole_and_some_are_cut_between_cr_and_lf() -> None:
    random = Random(1)  # noqa: S311 - the same cuts in every run
    ways = Counter[str]()
    for _ in range(300):
        data = make_text(random)[:5000] + b".\r\n"
        cut = pieces(random, data)
        assert b"".join(cut) == data
        assert all(cut)
        ways["whole"] += len(cut) == 1
        ways["bytes"] += len(cut) == len(data)
        ways["CR, LF"] += any(piece.endswith(b"\r") for piece in cut[:-1])
        ways["the dot alone"] += any(piece in {b".", b".\r", b".\r\n"} for piece in cut) and len(cut) < len(data)
    assert min(ways.values()) > 0, ways


def test_a_text_has_every_byte_that_may_be_in_one() -> None:
    random = Random(1)  # noqa: S311 - the same texts in every run
    texts = [make_text(random) for _ in range(50)]
    lines = [line for text in texts for line in text.split(b"\r\n")]
    assert b"" in texts
    assert set(b"".join(lines)) == set(range(256)) - set(b"\0\r\n")
    assert max(map(len, lines)) <= 998
    assert any(line.startswith(b".") for line in lines)
