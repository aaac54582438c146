"""The users file: who is in it, and what is said when it is broken."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import argon2
import pytest

from services.smtp.auth import Credentials
from services.smtp.errors import UsersFileError
from services.smtp.users import Users, hash_password
from services.smtp.users_file import PROFILE, delete_user, read_users, set_user

CHEAP = argon2.profiles.CHEAPEST
"""For tests that are about users; one is about what verification costs."""


def cheap(password: str) -> str:
    return argon2.PasswordHasher.from_parameters(CHEAP).hash(password)


ALICE, BOB = cheap("open sesame"), cheap("gr\u00fcn")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "users"
    path.write_text(f"# people\n\nalice:{ALICE}\nbob:{BOB}\r\n")
    return path


def verify(users: Users, login: str | bytes, password: str | bytes) -> str | None:
    def as_bytes(text: str | bytes) -> bytes:
        return text.encode() if isinstance(text, str) else text

    return users.verify(Credentials(as_bytes(login), as_bytes(password)))


def test_who_is_in_the_file_and_has_the_password_is_told_by_name(path: Path) -> None:
    users = Users(path)
    assert verify(users, "alice", "open sesame") == "alice"
    assert verify(users, "alice", "open sesam") is None
    assert verify(users, "bob", "open sesame") is None
    assert verify(users, "carol", "open sesame") is None
    assert verify(users, "Alice", "open sesame") is None
    assert verify(users, "", "") is None
    assert verify(users, b"alice", b"\xff") is None
    assert verify(users, b"\xff", b"") is None
    assert verify(users, "# people", "") is None


def test_it_does_not_matter_how_an_umlaut_was_typed(path: Path) -> None:
    assert verify(Users(path), "bob", "gru\u0308n") == "bob"


def test_the_file_is_read_again_when_it_changed(path: Path) -> None:
    users = Users(path)
    assert verify(users, "carol", "new") is None
    set_user(path, "carol", cheap("new"))
    assert verify(users, "carol", "new") == "carol"
    delete_user(path, "carol")
    assert verify(users, "carol", "new") is None
    path.write_text(f"carol:{cheap('new')}\n")  # in place, as an editor may
    assert verify(users, "carol", "new") == "carol"


def test_the_file_is_not_read_while_it_is_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []

    def counted(path: Path) -> Any:
        reads.append(path)
        return read_users(path)

    monkeypatch.setattr("services.smtp.users.read_users", counted)
    users = Users(path)
    for _ in range(3):
        verify(users, "alice", "x")
    assert len(reads) == 1


def test_an_unknown_user_takes_the_same_work_as_a_known_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One hash is compared, with the costs of those in the file; the dummy's answer is never yes."""
    costs = []
    original: Callable[..., Any] = argon2.PasswordHasher.verify

    def counted(self: argon2.PasswordHasher, encoded: str, password: str) -> Any:
        costs.append(argon2.extract_parameters(encoded))
        return original(self, encoded, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    users = Users(path)
    for login in ("alice", "carol", b"\xff", ""):
        assert verify(users, login, "") is None
    assert costs == [CHEAP] * 4
    path.write_text("")
    assert verify(users, "carol", "") is None
    assert costs[4:] == [PROFILE]


def test_a_comparison_that_cannot_be_made_says_nothing_of_the_password(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise argon2.exceptions.VerificationError("Memory allocation error")

    monkeypatch.setattr(argon2.PasswordHasher, "verify", fail)
    with pytest.raises(UsersFileError, match=r"Memory allocation error.*more memory"):
        verify(Users(path), "alice", "open sesame")


BROKEN = {
    "alice": "is no `name:",
    "alice:secret": "no argon2id hash",
    "alice:$argon2id$secret": "no argon2id hash",
    "alice:$2b$12$secret": "no argon2id hash",
    f"alice:{ALICE} secret": "no argon2id hash",
    f":{ALICE}": "name of the user",
    f" :{ALICE}": "name of the user",
    f"a\x07:{ALICE}": "name of the user",
    f"alice:{ALICE}\nalice:{BOB}": "is there twice",
    f"gru\u0308n:{ALICE}\ngr\u00fcn:{BOB}": "is there twice",
}


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_file_is_refused_as_a_whole_and_its_line_is_named_and_not_quoted(tmp_path: Path, line: str) -> None:
    path = tmp_path / "users"
    path.write_text(f"# people\nzoe:{BOB}\n{line}\n")
    number = 2 + len(line.splitlines())
    users = Users(path)
    for _ in range(2):
        with pytest.raises(UsersFileError, match=BROKEN[line]) as error:
            verify(users, "zoe", "gr\u00fcn")
        assert f"{path}, line {number}: " in str(error.value)
        assert "secret" not in str(error.value)
        assert ALICE not in str(error.value)
    with pytest.raises(UsersFileError, match=BROKEN[line]):
        set_user(path, "zoe", ALICE)
    path.write_text(f"zoe:{BOB}\n")
    assert verify(users, "zoe", "gr\u00fcn") == "zoe"


def test_a_file_that_is_no_text_or_not_there_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "users"
    with pytest.raises(UsersFileError, match=r"No such file.*passwd NAME` makes it"):
        Users(path).check()
    path.write_bytes(b"a\n\xff\n")
    with pytest.raises(UsersFileError, match="line 2: it is no UTF-8 text"):
        Users(path).check()


def test_a_file_that_breaks_later_is_an_error_and_not_the_old_users(path: Path) -> None:
    users = Users(path)
    assert verify(users, "alice", "open sesame") == "alice"
    path.unlink()
    with pytest.raises(UsersFileError, match="cannot be read"):
        verify(users, "alice", "open sesame")


def test_writing_keeps_every_other_line_and_lets_nobody_else_read_the_file(path: Path) -> None:
    path.chmod(0o644)
    os.umask(os.umask(0o077))
    assert set_user(path, "alice", BOB)
    assert path.read_text() == f"# people\n\nalice:{BOB}\nbob:{BOB}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not set_user(path, "carol", ALICE)
    assert path.read_text().endswith(f"bob:{BOB}\ncarol:{ALICE}\n")
    assert delete_user(path, "alice")
    assert not delete_user(path, "alice")
    assert path.read_text() == f"# people\n\nbob:{BOB}\ncarol:{ALICE}\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["users"]


def test_a_new_file_is_made_with_its_directory_and_a_link_stays_one(tmp_path: Path) -> None:
    real, link = tmp_path / "secrets/users", tmp_path / "users"
    link.symlink_to(real)
    set_user(link, "alice", ALICE)
    assert link.is_symlink()
    assert read_users(real).hashes == {"alice": ALICE}


def test_a_file_that_cannot_be_written_stays_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.smtp.users_file.os.fsync", full)
    with pytest.raises(UsersFileError, match="cannot be written: No space left on device"):
        set_user(path, "carol", ALICE)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["users"]


def test_what_a_killed_process_left_is_no_obstacle(path: Path) -> None:
    path.with_name(".users.new").write_text("half")
    set_user(path, "carol", ALICE)
    assert [entry.name for entry in path.parent.iterdir()] == ["users"]


def test_passwords_are_hashed_as_rfc_9106_recommends() -> None:
    encoded = hash_password("gru\u0308n")
    assert argon2.extract_parameters(encoded) == argon2.profiles.RFC_9106_LOW_MEMORY
    assert encoded.startswith("$argon2id$")
    assert argon2.PasswordHasher().verify(encoded, "gr\u00fcn")


@pytest.mark.parametrize("password", ["", "\u00ad", "a\0b", "secret\x07"])
def test_a_password_that_nobody_could_send_is_refused_and_not_quoted(password: str) -> None:
    with pytest.raises(ValueError, match=r"empty|prohibits") as error:
        hash_password(password)
    assert "secret" not in str(error.value)
