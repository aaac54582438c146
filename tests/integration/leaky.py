"""Code of users that does what it should not: its errors quote all that it was given."""

from __future__ import annotations

from typing import Any

from aiosmtpd.smtp import AuthResult, LoginPassword

# ruff: noqa: N802 - the names are aiosmtpd's


class Quoting:
    """Fails on some mails."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Raises, for texts that have the word, an error with the whole text in it, and one that came of it."""
        del server, session
        if b"X-Fail: yes" not in envelope.content:
            return "250 OK"
        try:
            int(envelope.content)
        except ValueError as error:
            raise RuntimeError(f"cannot parse {envelope.content!r}") from error
        return "250 OK"


def authenticator(server: Any, session: Any, envelope: Any, mechanism: str, auth_data: LoginPassword) -> AuthResult:
    """Takes alice at her word; fails for others with what they sent."""
    del server, session, envelope, mechanism
    if auth_data.login == b"alice":
        return AuthResult(success=True, auth_data=auth_data)
    raise LookupError(f"nobody has {auth_data.login!r} and {auth_data.password!r}")
