"""Who may send mail: the users of a file, with passwords that are only ever compared as argon2 hashes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

import argon2

from services.smtp.auth import Credentials
from services.smtp.errors import UsersFileError
from services.smtp.saslprep import saslprep
from services.smtp.users_file import PROFILE, UsersFile, identity_of, read_users


class Users:
    """The users of a file, which is read again whenever it has changed.

    One verification takes the memory and the time that the hash names, by default 64 MiB and tenths of a second, in
    which the worker serves nobody else. That is on purpose, and for unknown users too: the time tells nobody whether
    there is such a user.

    Args:
        path: the file, see `users_file`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: UsersFile | None = None
        self._hasher: Final = argon2.PasswordHasher()  # verifies by the parameters of each hash

    def check(self) -> None:
        """Reads the file if that is due; `UsersFileError` when it cannot be used."""
        if self._file is None or self._file.identity != identity_of(self._path):
            self._file = None
            self._file = read_users(self._path)

    def verify(self, credentials: Credentials) -> str | None:
        """The user's name when the password is right, else None.

        Raises:
            UsersFileError: the file cannot be used, or there is no memory for the verification. That says nothing of
                the credentials.
        """
        self.check()
        hashes = self._file.hashes if self._file is not None else {}
        try:
            login, password = (saslprep(part.decode("utf-8")) for part in (credentials.login, credentials.password))
        except ValueError:  # there can be no such user; the time must not tell
            login, password = "", ""
        encoded = hashes.get(login)
        right = self._matches(encoded or _dummy(hashes), password)
        return login if right and encoded is not None else None

    def _matches(self, encoded: str, password: str) -> bool:
        try:
            return self._hasher.verify(encoded, password)
        except argon2.exceptions.VerifyMismatchError:
            return False
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError) as error:
            raise UsersFileError(
                f"a password cannot be compared with its hash in {self._path}: {error}. Make the hash anew, or give "
                "the worker more memory"
            ) from error


def _dummy(hashes: dict[str, str]) -> str:
    """A hash of no password, which takes as long as those of the file do."""
    parameters = next((argon2.extract_parameters(encoded) for encoded in hashes.values()), PROFILE)
    costs = f"m={parameters.memory_cost},t={parameters.time_cost},p={parameters.parallelism}"
    salt, digest = (
        base64.b64encode(bytes(length)).decode().rstrip("=") for length in (parameters.salt_len, parameters.hash_len)
    )
    return f"$argon2id$v={parameters.version}${costs}${salt}${digest}"


def hash_password(password: str) -> str:
    """The hash to be stored; `ValueError` says what is wrong with the password, and does not quote it."""
    prepared = saslprep(password)
    if not prepared:
        raise ValueError("it is empty")
    return argon2.PasswordHasher.from_parameters(PROFILE).hash(prepared)
