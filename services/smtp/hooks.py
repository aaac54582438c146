"""aiosmtpd's handlers behind the engine: their hooks run unchanged, on a session that moves between processes.

A handler is a class named by its dotted path, with arguments as in a shell: `aiosmtpd.handlers.Mailbox /var/mails`. As
aiosmtpd's own command line does, it is made by `from_cli(parser, *arguments)` where it has that, else called with the
arguments. It is made once per process, inside the worker's event loop, before the first event.

What holds for hooks (aiosmtpd 1.4.6, "Concepts: handlers"), and what differs on purpose:

* They are `async`, called as `(server, session, envelope, ...)`. A hook that exists owns the change of state and
  returns the reply: `handle_MAIL` sets `envelope.mail_from`, `handle_RCPT` appends to `envelope.rcpt_tos`,
  `handle_HELO` and `handle_EHLO` set `session.host_name`. Without a hook the default is carried out.
* Session and Envelope are made anew for each call from what was saved. What hooks add to them comes back, see
  `attributes`; the handler object itself is one per process and never the place for what belongs to a session.
* A hook that answers other than 2xx has changed neither who the client is nor the mail under way, whatever it did to
  session and envelope. Only the attributes that it added stay.
* A hook that returns `MISSING` leaves its command to what SMTP has. `process_message`, the older form of
  `handle_DATA`, is called where there is no such hook.
* A hook answers 2xx, 4xx or 5xx. 3xx asks the client for what is no command, and is an error of the hook.
* The null sender is `""`, not `"<>"`.
* A hook that raises, or returns no reply line, is asked about in `handle_exception`; without that the client gets 451
  and the exception goes to the log only, from `handle_DATA` without its message, which may quote the mail. aiosmtpd
  would send its text to the client. So does a hook that is cancelled or calls `sys.exit`: the worker goes on.
* `envelope.content` is bytes. `session.ssl` is None: TLS ends in front of RoadRunner.
* `handle_AUTH`, methods `auth_<MECHANISM>` and the authenticator: see `auth_hooks`.
* A handler with hooks that would never be called is refused, see `_NEVER_CALLED` and `_AUTH`.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from aiosmtpd.smtp import MISSING, Envelope, Session

from rr_tcp import ConfigurationError
from services.smtp import replies
from services.smtp.errors import HandlerFaultError
from services.smtp.foreign import Failure, settle, without_messages
from services.smtp.named import import_named, make_named
from services.smtp.replies import Reply
from services.smtp.settings import SmtpSettings

log = logging.getLogger(__name__)

_PREFIX: Final = "handle_"

_NEVER_CALLED: Final = re.compile(r"handle_(STARTTLS|PROXY)")
"""Hooks for what the service does not do: TLS ends in front of RoadRunner; the PROXY line is `App.add`'s."""

_AUTH: Final = re.compile(r"handle_AUTH|auth_.+|authenticator")
"""Hooks that are called where there is a listener with AUTH. A handler that has them tells users from strangers, and
must not run where it cannot. aiosmtpd does not look for an `authenticator` on a handler: it is given one beside it."""

_MECHANISM: Final = re.compile(r"[A-Z0-9_-]{1,20}")
"""The name of a SASL mechanism (RFC 4422 section 3.1)."""

_ACCEPTED: Final = (
    "the dotted path of a class, then its arguments, e.g. 'aiosmtpd.handlers.Mailbox /var/mails' or 'app.mail.Handler'"
)


@dataclass(frozen=True, slots=True)
class HandlerSpec:
    """Which handler to make.

    Attributes:
        text: as configured, for errors.
        factory: the class.
        arguments: what follows it.
    """

    text: str
    factory: Callable[..., object]
    arguments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> HandlerSpec:
        """Imports the class; `ConfigurationError` when it cannot be found."""
        factory, arguments = import_named("SMTP_HANDLER", text, _ACCEPTED)
        return cls(text, factory, arguments)

    def make(self) -> object:
        """The handler. Call it inside the event loop: handlers may keep the loop that they find.

        Raises:
            ConfigurationError: it does not take the arguments, or failed.
        """
        factory: Callable[..., object] = self.factory
        arguments: tuple[object, ...] = self.arguments
        if (from_cli := getattr(factory, "from_cli", None)) is not None:
            factory, arguments = from_cli, (_RaisingParser(prog="SMTP_HANDLER"), *arguments)
        try:
            return make_named("SMTP_HANDLER", self.text, factory, arguments)
        except argparse.ArgumentError as error:
            raise ConfigurationError(f"SMTP_HANDLER is {self.text!r}: it refuses its arguments: {error}") from error


class _RaisingParser(argparse.ArgumentParser):
    """What `from_cli` reports errors to. A worker must not print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise argparse.ArgumentError(None, message)


class HookServer:
    """What a hook gets as `server`: the part of aiosmtpd's `SMTP` that means something here.

    Attributes:
        hostname: how the service calls itself.
        data_size_limit: bytes of a mail, as announced.
        session: the session of this call.
        envelope: the envelope of this call.
        event_handler: the handler.
        loop: the worker's event loop; it runs while an event is handled and stands still in between.
        enable_SMTPUTF8: always: the service announces it.
        tls_context: None, as TLS ends in front of RoadRunner.
        require_starttls: False likewise.
        transport: None, as it is RoadRunner's. A hook that returns 421 ends the connection.
    """

    enable_SMTPUTF8: Final = True  # noqa: N815 - the name is aiosmtpd's
    tls_context: Final = None
    require_starttls: Final = False
    transport: Final = None

    def __init__(self, hooks: Hooks, session: Session, envelope: Envelope) -> None:
        self.hostname = hooks.hostname
        self.data_size_limit = hooks.data_size_limit
        self.session = session
        self.envelope = envelope
        self.event_handler = hooks.handler
        self.loop = session.loop
        self._pushed: list[str] = []

    async def push(self, status: str | bytes) -> None:
        """Adds a line before the hook's reply, e.g. `250-SIZE 1000`; `HandlerFaultError` when it is no such line."""
        line = status.decode("latin-1") if isinstance(status, bytes) else status
        if line[3:4] != "-":
            raise HandlerFaultError(
                f"a hook may push lines that go on, e.g. '250-SIZE 1000', and return the last: {line!r}"
            )
        self._pushed.append(line)

    def complete(self, status: object) -> object:
        """A hook's return value with what it pushed before."""
        if not self._pushed:
            return status
        return [*self._pushed, *(status if isinstance(status, list) else [status])]


class Hooks:
    """The hooks of one handler.

    Args:
        handler: any object with methods named `handle_...` or `auth_...`.
        settings: host name and limits, which hooks are shown.
        auth: there is a listener with AUTH.
        authenticator: aiosmtpd's, which is configured apart from the handler.

    Attributes:
        handler: as given.
        hostname: how the service calls itself.
        data_size_limit: bytes of a mail, as announced.
        mechanisms: the handler's own methods for AUTH, by the names of their mechanisms in upper case.
        on_exception: `handle_exception`, None without.
    """

    def __init__(
        self,
        handler: object,
        settings: SmtpSettings,
        *,
        auth: bool = False,
        authenticator: object | None = None,
    ) -> None:
        self.handler = handler
        self.hostname = settings.hostname
        self.data_size_limit = settings.limits.message
        self._methods: dict[str, Callable[..., Awaitable[object]]] = {
            name.removeprefix(_PREFIX): getattr(handler, name) for name in dir(handler) if name.startswith(_PREFIX)
        }
        if "DATA" not in self._methods and callable(process := getattr(handler, "process_message", None)):
            self._methods["DATA"] = functools.partial(_process_message, process)
        self.on_exception = self._methods.pop("exception", None)
        self.mechanisms = _mechanisms(handler)
        _check_called(handler, auth=auth, authenticator=authenticator)
        self.extends_ehlo = self._extends_ehlo()
        """Whether `handle_EHLO` takes and returns the list of lines; the older form returns the last line only."""

    def _extends_ehlo(self) -> bool:
        if "EHLO" not in self._methods:
            return False
        arity = len(inspect.signature(self._methods["EHLO"]).parameters)
        if arity not in {4, 5}:
            raise ConfigurationError(
                f"handle_EHLO of {type(self.handler).__qualname__} (SMTP_HANDLER) takes {arity} arguments: it must "
                "take (server, session, envelope, hostname) or (server, session, envelope, hostname, responses)"
            )
        return arity == 5

    def __contains__(self, command: str) -> bool:
        return command in self._methods

    def method(self, command: str) -> Callable[..., Awaitable[object]]:
        """The hook `handle_<command>`."""
        return self._methods[command]

    async def ask(self, command: str, session: Session, envelope: Envelope, *arguments: Any) -> Reply | None:
        """The reply of a hook, with an enhanced status code where one belongs, or that to one that failed.

        Never raises, unless the event is cancelled.

        Returns:
            None when the hook returned aiosmtpd's MISSING: what SMTP has is to be carried out, as without the hook.
        """
        outcome = await settle(self._ask(command, session, envelope, arguments))
        return await self._failed(command, outcome.error) if isinstance(outcome, Failure) else outcome

    async def _ask(
        self, command: str, session: Session, envelope: Envelope, arguments: tuple[object, ...]
    ) -> Reply | None:
        server = HookServer(self, session, envelope)
        status = await self._methods[command](server, session, envelope, *arguments)
        return None if status is MISSING else _as_reply(command, server.complete(status))

    async def _failed(self, command: str, error: BaseException) -> Reply:
        if self.on_exception is None or not isinstance(error, Exception):
            _log_failure(command, f"the hook {_PREFIX}{command} failed", error)
            return replies.HANDLER_FAILED
        outcome = await settle(self._explain(command, self.on_exception, error))
        if not isinstance(outcome, Failure):
            return outcome
        what = f"the hook {_PREFIX}exception failed, called for an error of {_PREFIX}{command}"
        _log_failure(command, what, outcome.error)
        return replies.HANDLER_FAILED

    @staticmethod
    async def _explain(command: str, on_exception: Callable[..., Awaitable[object]], error: Exception) -> Reply:
        return _as_reply(command, await on_exception(error))


def _log_failure(command: str, what: str, error: BaseException) -> None:
    if command == "DATA":  # the code has the mail's text
        log.error("%s: %s", what, without_messages(error))
    else:
        log.error("%s", what, exc_info=error)


async def _process_message(
    process: Callable[..., Any], server: HookServer, session: Session, envelope: Envelope
) -> object:
    """Calls aiosmtpd's older form of `handle_DATA`, which may be no coroutine and return None for yes."""
    del server
    status = process(session.peer, envelope.mail_from, envelope.rcpt_tos, envelope.content)
    if inspect.isawaitable(status):
        status = await status
    return MISSING if status is None else status


def _mechanisms(handler: object) -> dict[str, Callable[..., Awaitable[object]]]:
    """The methods `auth_<MECHANISM>`. A hyphen of the name is `__`, or the name is that of aiosmtpd's decorator."""
    methods = {}
    for attribute in dir(handler):
        if not attribute.startswith("auth_") or not callable(method := getattr(handler, attribute)):
            continue
        name = getattr(method, "__auth_mechanism_name__", attribute.removeprefix("auth_").replace("__", "-")).upper()
        if not _MECHANISM.fullmatch(name):
            raise ConfigurationError(
                f"{attribute} of {type(handler).__qualname__} (SMTP_HANDLER) is for the mechanism {name!r}: a name has "
                "at most 20 letters, digits, hyphens and underscores"
            )
        methods[name] = method
    return methods


def _check_called(handler: object, *, auth: bool, authenticator: object | None) -> None:
    """Refuses a handler with hooks that would never be called."""
    names = dir(handler)
    what = f"the handler {type(handler).__qualname__} (SMTP_HANDLER) has hooks that would never be called: "
    if never_called := [name for name in names if _NEVER_CALLED.fullmatch(name)]:
        raise ConfigurationError(
            f"{what}{', '.join(never_called)}. The service has no STARTTLS, and App.add(trusted_proxies=...) reads the "
            "PROXY line: take another handler, or remove them"
        )
    for_auth = [name for name in names if _AUTH.fullmatch(name)]
    if for_auth and not auth:
        raise ConfigurationError(
            f"{what}{', '.join(for_auth)}. No listener has AUTH: name those behind TLS in SMTP_AUTH_LISTENERS"
        )
    if "authenticator" in for_auth and authenticator is None:
        raise ConfigurationError(f"{what}authenticator. Name what it is in SMTP_AUTHENTICATOR")


def _as_reply(command: str, status: object) -> Reply:
    reply = Reply.parse_lines(status) if isinstance(status, list) else Reply.parse(status)
    return reply if command in {"HELO", "EHLO"} else reply.with_status()  # RFC 2034 section 4 leaves these two out
