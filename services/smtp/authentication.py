"""How clients authenticate: on which listeners, by which mechanisms, and who says that they are right."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from rr_tcp import ConfigurationError, Connection
from services.smtp import replies
from services.smtp.auth import BUILT_IN, NO_AUTH, AuthPolicy, Challenge, Credentials, Exchange, advance
from services.smtp.errors import RemoteProtocolError, UsersFileError
from services.smtp.events import Authenticate
from services.smtp.hooks import Hooks
from services.smtp.named import import_named, make_named
from services.smtp.protocol import SmtpEngine
from services.smtp.replies import Reply
from services.smtp.settings import SmtpSettings
from services.smtp.state import SmtpState
from services.smtp.users import Users

log = logging.getLogger(__name__)

_AUTHENTICATOR: Final = "SMTP_AUTHENTICATOR"
_ACCEPTED: Final = "the dotted path of a function, e.g. app.auth.check, or of a class and its arguments"

Authenticator: TypeAlias = Callable[..., object]
"""aiosmtpd's: called as (server, session, envelope, mechanism, auth_data), it returns an AuthResult."""


@dataclass(frozen=True, slots=True)
class User:
    """A client that is who it says.

    Attributes:
        name: of the user.
    """

    name: str


Answer: TypeAlias = Challenge | User | Reply
"""What AUTH, or a response, is answered: another question, success, or what went wrong."""


class Authentication:
    """What the settings say of AUTH.

    Args:
        settings: the listeners, and the users file or the authenticator.

    Raises:
        ConfigurationError: the authenticator cannot be found or made, or the settings contradict one another.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self._listeners = frozenset(settings.auth_listeners)
        self._tls = self._listeners | frozenset(settings.tls_listeners)
        self._required = settings.auth_required
        self._users = Users(Path(settings.users)) if settings.users else None
        self.authenticator = load_authenticator(settings.authenticator) if settings.authenticator else None
        if self._users is not None and self.authenticator is not None:
            raise ConfigurationError("SMTP_USERS and SMTP_AUTHENTICATOR are both set: one of them knows the users")
        if self._required and not self._listeners:
            raise ConfigurationError(
                "SMTP_AUTH_REQUIRED is set and SMTP_AUTH_LISTENERS is empty: nobody could send mail. Name the servers "
                "of RoadRunner's tcp.servers that clients reach through TLS only"
            )

    @property
    def offered(self) -> bool:
        """Whether there is a listener with AUTH."""
        return bool(self._listeners)

    def behind_tls(self, server: str) -> bool:
        """Whether clients reach a listener through TLS only, as they do where they may authenticate."""
        return server in self._tls

    def check(self, hooks: Hooks | None) -> None:
        """Says at the start what would be said to each client later.

        Args:
            hooks: the handler's, None without one.

        Raises:
            ConfigurationError: there is a listener with AUTH, and nobody could authenticate.
        """
        if self.offered and not self._mechanisms(hooks):
            raise ConfigurationError(
                "SMTP_AUTH_LISTENERS is set and there are no users: set SMTP_USERS (`python -m services.smtp passwd` "
                "makes the file), SMTP_AUTHENTICATOR, or an SMTP_HANDLER with methods auth_<MECHANISM>"
            )
        if self._users is None:
            return
        if not self.offered:
            log.warning("SMTP_USERS is set and SMTP_AUTH_LISTENERS is empty: nobody can authenticate")
        try:
            self._users.check()
        except UsersFileError as error:
            log.error("nobody can authenticate for now (454): %s", error)

    def policy(self, server: str, hooks: Hooks | None) -> AuthPolicy:
        """What holds on a listener.

        Args:
            server: its name in RoadRunner's `tcp.servers`.
            hooks: the handler's, None without one.
        """
        if not self.offered:
            return NO_AUTH
        here = server in self._listeners
        return AuthPolicy(self._mechanisms(hooks) if here else (), elsewhere=not here, required=self._required)

    def _mechanisms(self, hooks: Hooks | None) -> tuple[str, ...]:
        """All there are. `handle_AUTH` may know users of its own."""
        known = self._users or self.authenticator or (hooks is not None and "AUTH" in hooks)
        return tuple(sorted({*(hooks.mechanisms if hooks else ()), *(BUILT_IN if known else ())}))

    def answer(self, exchange: Exchange) -> Answer:
        """What comes next in an exchange of a built-in mechanism; the users file says who is right."""
        step = self.step(exchange)
        return self._verify(step) if isinstance(step, Credentials) else step

    @staticmethod
    def step(exchange: Exchange) -> Challenge | Credentials | Reply:
        """What comes next in an exchange of a built-in mechanism; somebody else says whether credentials are right."""
        try:
            return advance(exchange)
        except RemoteProtocolError as error:
            return error.reply

    def _verify(self, credentials: Credentials) -> User | Reply:
        if self._users is None:
            return replies.WRONG_CREDENTIALS
        try:
            name = self._users.verify(credentials)
        except UsersFileError as error:
            log.error("an authentication failed for now (454): %s", error)
            return replies.AUTH_UNAVAILABLE
        return replies.WRONG_CREDENTIALS if name is None else User(name)


def answer_auth(connection: Connection[SmtpState], engine: SmtpEngine, event: Authenticate, answer: Answer) -> None:
    """Sends an answer, and logs what came of it: who, or from where, never what was said."""
    match answer:
        case Challenge():
            engine.challenge(answer)
            return
        case User():
            engine.authenticate(answer.name)
        case Reply():
            engine.reply(answer)
    state, mechanism = connection.state, event.exchange.mechanism
    if state.authenticated:
        log.info("connection %s: %.100r authenticated by %s", connection.uuid, state.user, mechanism)
    else:
        log.warning(
            "connection %s from %s: no authentication by %s", connection.uuid, connection.remote_addr, mechanism
        )


def load_authenticator(text: str) -> Authenticator:
    """The authenticator that SMTP_AUTHENTICATOR names: a function, or an object made of a class with its arguments.

    Raises:
        ConfigurationError: it cannot be found or made, or is `async`, which aiosmtpd's are not.
    """
    found, arguments = import_named(_AUTHENTICATOR, text, _ACCEPTED)
    authenticator: Any = found
    if inspect.isclass(found):
        authenticator = make_named(_AUTHENTICATOR, text, found, arguments)
    elif arguments:
        raise ConfigurationError(f"{_AUTHENTICATOR} is {text!r}: a function has no arguments here. Give {_ACCEPTED}")
    if not callable(authenticator):
        raise ConfigurationError(f"{_AUTHENTICATOR} is {text!r}: what the class makes cannot be called")
    call = authenticator if inspect.isroutine(authenticator) else type(authenticator).__call__
    if inspect.iscoroutinefunction(call):
        raise ConfigurationError(f"{_AUTHENTICATOR} is {text!r}: it must be no `async def`, as aiosmtpd's is none")
    return authenticator  # type: ignore[no-any-return]  # a class makes anything; it was checked to be callable
