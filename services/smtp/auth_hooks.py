"""aiosmtpd's hooks for AUTH: `handle_AUTH`, methods `auth_<MECHANISM>` and the `authenticator`, on a moving session.

A method of aiosmtpd asks in its middle, `await server.challenge_auth(...)`, and goes on with the response. No coroutine
outlives an event here, and the response may come to another process. So a method is run again: `challenge_auth` raises
where there is no response yet; with the response, the method is run from its start, on the same session, its earlier
challenges answered from the record (`auth.Exchange`), up to the next one or its end. Methods that always make the same
challenges of the same responses work unchanged. For the others there is `server.once(make)`: in all runs of one
exchange it returns what `make()` did in the first one.

What a run that ended in a challenge did to session and envelope is dropped, the last run's is kept: so for them, each
line of the method happened once. What it did to the world outside (a log, a database) it does again with each response.
"""

from __future__ import annotations

import inspect
import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from aiosmtpd.smtp import MISSING, AuthResult, Envelope, LoginPassword, Session

from services.smtp import replies
from services.smtp.attributes import decode_attributes, encode_attributes
from services.smtp.auth import MAX_CHALLENGES, Challenge, Exchange
from services.smtp.authentication import Authentication
from services.smtp.errors import HandlerFaultError
from services.smtp.foreign import Failure, settle, without_messages
from services.smtp.hook_calls import adopt_session
from services.smtp.hook_state import envelope_attributes, make_envelope, make_session
from services.smtp.hooks import Hooks, HookServer
from services.smtp.limits import AUTH_LINE
from services.smtp.replies import Reply
from services.smtp.state import SmtpState

log = logging.getLogger(__name__)

_VALUE: Final = "value"
_LOGIN: Final = "_login_data"  # `Session.login_data` without its warning that it is deprecated

_Outcome: TypeAlias = Challenge | Reply


class _Suspended(BaseException):
    """There is no response to a challenge yet. No `Exception`: a method's `except Exception` must not take it."""


class AuthServer(HookServer):
    """What hooks for AUTH get as `server`.

    Attributes:
        challenge: the one that has no response yet, when a run ended there.
        remembered: what `once` made.
    """

    def __init__(self, hooks: Hooks, session: Session, envelope: Envelope, exchange: Exchange) -> None:
        super().__init__(hooks, session, envelope)
        self.challenge: Challenge | None = None
        self.remembered = list(exchange.remembered)
        self._exchange = exchange
        self._asked = 0
        self._used = 0

    async def push(self, status: str | bytes) -> None:
        """Adds a line to the reply: `535 5.7.8 No`, or `535-No` when another follows."""
        self._go_on()
        self._pushed.append(status.decode("latin-1") if isinstance(status, bytes) else status)

    async def challenge_auth(
        self,
        challenge: str | bytes,
        encode_to_b64: bool = True,
        log_client_response: bool = False,  # noqa: ARG002 - the signature is aiosmtpd's; a response is never logged
    ) -> bytes:
        """The client's response, decoded. Never MISSING: an exchange that the client cancels is over without a run.

        Raises:
            HandlerFaultError: it is another challenge than the one that was sent at this place, or cannot be sent.
        """
        self._go_on()
        text = _challenge_text(challenge, encode=encode_to_b64)
        if self._pushed:
            raise HandlerFaultError("a reply was pushed before a challenge: the client waits for one of them")
        if self._asked < len(self._exchange.responses):
            if text != self._exchange.challenges[self._asked]:
                raise HandlerFaultError(
                    "the challenge differs from the one that was sent at this place: the method is run again for each "
                    "response. Let server.once(...) make what is random or depends on the time"
                )
            self._asked += 1
            return self._exchange.responses[self._asked - 1]
        if self._asked >= MAX_CHALLENGES:
            raise HandlerFaultError(f"the exchange has more than {MAX_CHALLENGES} challenges")
        self.challenge = Challenge(text)
        raise _Suspended

    def once(self, make: Callable[[], Any]) -> Any:
        """What `make()` returned when this exchange first came here: a nonce, the result of a side effect.

        Raises:
            HandlerFaultError: it is no plain data, see `attributes`.
        """
        self._go_on()
        if self._used == len(self.remembered):
            self.remembered.append(encode_attributes("server.once", {_VALUE: make()}))
        self._used += 1
        return decode_attributes(self.remembered[self._used - 1])[_VALUE]

    @property
    def reply(self) -> Reply | None:
        """What was pushed, as a whole reply; `HandlerFaultError` when it is none."""
        return _parse(self._pushed) if self._pushed else None

    def _go_on(self) -> None:
        """A method that swallowed the end of its run is told again."""
        if self.challenge is not None:
            raise _Suspended


async def consult_auth(
    hooks: Hooks, authentication: Authentication, state: SmtpState, exchange: Exchange, *, peer: tuple[str, int]
) -> _Outcome:
    """Lets hooks and authenticator decide on AUTH, or on a response, and takes over what they did to the session.

    Returns:
        The challenge to be sent, or the reply; whether it is one of success is in `state.authenticated`.

    Raises:
        HandlerFaultError: a hook left something behind that cannot be saved; nobody is authenticated.
    """
    session, envelope = make_session(state, peer), make_envelope(state)
    server = AuthServer(hooks, session, envelope, exchange)
    outcome = await _run(hooks, authentication, server, exchange)
    if isinstance(outcome, Challenge):
        exchange.remembered = server.remembered
        return outcome
    attributes = envelope_attributes(envelope)  # before anybody is authenticated: it may be a fault
    adopt_session(state, session, peer, positive=outcome.positive)
    state.envelope_attributes = attributes
    if state.authenticated:
        state.user = _user_name(session)
    elif outcome.positive:
        log.warning("handle_AUTH said yes but did not set session.authenticated: nobody is authenticated")
    return outcome


async def _run(hooks: Hooks, authentication: Authentication, server: AuthServer, exchange: Exchange) -> _Outcome:
    """One run. What the hooks raise never leaves it, as it could quote a password, and neither does its message."""
    outcome = await settle(_ask(hooks, authentication, server, exchange))
    if not isinstance(outcome, Failure):
        return outcome
    if server.challenge is not None:
        return server.challenge  # also when the method made another error of the end of its run
    _log_failure(f"AUTH {exchange.mechanism}", outcome.error)
    return await _failed(hooks, outcome.error)


async def _ask(hooks: Hooks, authentication: Authentication, server: AuthServer, exchange: Exchange) -> _Outcome:
    mechanism, arguments = exchange.mechanism, exchange.arguments
    if "AUTH" in hooks:
        status = await hooks.method("AUTH")(server, server.session, server.envelope, arguments)
        if status is not MISSING:
            return server.challenge or _complete(server, status)
    if (method := hooks.mechanisms.get(mechanism)) is not None:
        result = await method(server, arguments)
        return server.challenge or _judge(server, result)
    if authentication.authenticator is None:
        return _built_in(server, authentication, exchange)
    step = authentication.step(exchange)
    if isinstance(step, Challenge | Reply):
        return step
    data = LoginPassword(step.login, step.password)
    return _judge(server, authentication.authenticator(server, server.session, server.envelope, mechanism, data))


def _built_in(server: AuthServer, authentication: Authentication, exchange: Exchange) -> _Outcome:
    """The users file decides."""
    match answer := authentication.answer(exchange):
        case Challenge() | Reply():
            return answer
        case _:
            return _judge(server, AuthResult(success=True, auth_data=LoginPassword(answer.name.encode(), b"")))


def _complete(server: AuthServer, status: object) -> Reply:
    """The reply of `handle_AUTH`: what it returned, behind what it pushed."""
    if status is None:
        return _pushed_refusal(server)
    lines = server.complete(status)
    return _parse(lines if isinstance(lines, list) else [lines])


def _judge(server: AuthServer, result: object) -> Reply:
    """The reply to what a method or the authenticator returned; on success the session says who the client is.

    Beside AuthResult, what aiosmtpd's methods returned before it: None for "I have replied", False or MISSING for wrong
    credentials, the client's identity for success.
    """
    if inspect.isawaitable(result):
        raise HandlerFaultError("the authenticator returned something to await; aiosmtpd's is no `async def`")
    if isinstance(result, AuthResult):
        if result.success:
            return _succeed(server, result.auth_data, result.message)
        if result.handled:
            return _pushed_refusal(server)
        return _message(server, result.message, replies.WRONG_CREDENTIALS)
    if result is None:
        return _pushed_refusal(server)
    if result is MISSING or not result:
        return replies.WRONG_CREDENTIALS
    return _succeed(server, None, None, login=result)


def _succeed(server: AuthServer, auth_data: Any, message: str | None, login: object = None) -> Reply:
    reply = _message(server, message, replies.AUTHENTICATED)
    if not reply.positive:
        raise HandlerFaultError(f"the credentials are right, and the message is a refusal ({reply.code})")
    server.session.auth_data = auth_data
    vars(server.session)[_LOGIN] = login or getattr(auth_data, "login", None)
    server.session.authenticated = True
    return reply


def _message(server: AuthServer, message: str | None, default: Reply) -> Reply:
    return _complete(server, message or default.wire_lines())


def _pushed_refusal(server: AuthServer) -> Reply:
    """What was pushed. Whoever says that the reply was given and gave none gets one: the client waits for it."""
    reply = server.reply
    if reply is not None and reply.positive and not server.session.authenticated:
        raise HandlerFaultError(f"it pushed {reply.code} and did not say that the client is authenticated")
    return replies.WRONG_CREDENTIALS if reply is None else reply


async def _failed(hooks: Hooks, error: BaseException) -> Reply:
    if hooks.on_exception is None or not isinstance(error, Exception):
        return replies.AUTH_UNAVAILABLE
    outcome = await settle(_explain(hooks.on_exception, error))
    if isinstance(outcome, Failure):
        _log_failure("handle_exception, called for an error of AUTH,", outcome.error)
        return replies.AUTH_UNAVAILABLE
    return replies.AUTH_UNAVAILABLE if outcome.positive else outcome


async def _explain(on_exception: Callable[..., Awaitable[object]], error: Exception) -> Reply:
    return Reply.parse(await on_exception(error)).with_status()


def _log_failure(what: str, error: BaseException) -> None:
    """The code has the client's password."""
    log.error("%s failed: %s", what, without_messages(error))


def _parse(lines: list[Any]) -> Reply:
    """A reply; the error does not quote it, as others do: it is of code that has the client's password."""
    try:
        return Reply.parse_lines(lines).with_status()
    except HandlerFaultError:
        raise HandlerFaultError("it returned or pushed something else than one reply, e.g. '535 5.7.8 No'") from None


def _challenge_text(challenge: str | bytes, *, encode: bool) -> str:
    data = challenge.encode() if isinstance(challenge, str) else challenge
    text = (b64encode(data) if encode else data).decode("latin-1")
    if not (text.isascii() and (text.isprintable() or not text)) or len(text) > AUTH_LINE - len("334 \r\n"):
        raise HandlerFaultError(f"a challenge must be one line of printable ASCII, at most {AUTH_LINE} bytes long")
    return text


def _user_name(session: Session) -> str:
    """The user's name, for the log and for `SmtpState.user`."""
    login = vars(session)[_LOGIN]
    if isinstance(login, bytes):
        return login.decode("utf-8", "replace")
    return login if isinstance(login, str) else ""
