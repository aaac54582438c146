"""aiosmtpd's hooks for AUTH, each event handled by another worker with another handler object."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import hmac
import itertools
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest
from aiosmtpd.smtp import MISSING, AuthResult, LoginPassword, auth_mechanism

from rr_tcp import ConfigurationError
from rr_tcp.testing import cuts
from services.smtp import SmtpSettings
from tests.services.smtp.corpus import envelope
from tests.services.smtp.harness import SETTINGS, Service, codes

# ruff: noqa: ARG001, ARG002, N802 - the signatures and names are aiosmtpd's

ON = dataclasses.replace(SETTINGS, auth_listeners=("smtps",))
HELLO = b"EHLO c\r\n"
PASSWORD = "open sesame"


def b64(text: str | bytes) -> bytes:
    return b64encode(text.encode() if isinstance(text, str) else text)


def talk(make: Callable[[], object], *pieces: bytes, settings: SmtpSettings = ON) -> list[bytes]:
    """The reply lines to the pieces, those to EHLO left out."""
    with Service(settings, make(), make()) as service:
        client = service.client("smtps")
        client.send(HELLO)
        return client.send(*pieces).splitlines()


class Questions:
    """A method of aiosmtpd, as it would be written for it: it asks, and goes on with the answer."""

    async def auth_QUESTIONS(self, server: Any, args: list[str]) -> AuthResult:
        assert args[0] == "QUESTIONS"
        server.session.seen = getattr(server.session, "seen", 0) + 1
        answers = [b64decode(args[1])] if len(args) == 2 else [await server.challenge_auth("one?")]
        answers.append(await server.challenge_auth(b"after " + answers[0] + b", two?"))
        answers.append(await server.challenge_auth("", encode_to_b64=False))
        if answers == [b"1", b"2", b"3"]:
            return AuthResult(success=True, auth_data=("somebody", len(answers)))
        return AuthResult(success=False, handled=False)

    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        return f"250 {session.authenticated} {session.auth_data!r} seen {getattr(session, 'seen', 0)}"


RIGHT = [b"AUTH QUESTIONS\r\n", b64("1") + b"\r\n", b64("2") + b"\r\n", b64("3") + b"\r\n"]


def test_a_method_that_asks_in_its_middle_goes_on_in_another_worker() -> None:
    assert talk(Questions, *RIGHT, b"NOOP\r\n") == [
        b"334 " + b64("one?"),
        b"334 " + b64("after 1, two?"),
        b"334 ",
        b"235 2.7.0 Authentication succeeded",
        b"250 2.0.0 True ('somebody', 3) seen 1",
    ]


def test_it_takes_the_first_answer_with_the_command() -> None:
    lines = talk(Questions, b"AUTH questions " + b64("1") + b"\r\n", *RIGHT[2:])
    assert lines == [b"334 " + b64("after 1, two?"), b"334 ", b"235 2.7.0 Authentication succeeded"]


def test_cut_anywhere_it_gives_the_same_replies() -> None:
    stream = b"".join(RIGHT) + b"NOOP\r\n"
    whole = talk(Questions, stream)
    for pieces in cuts(stream):
        assert talk(Questions, *pieces) == whole


def test_wrong_answers_and_cancelled_exchanges_leave_nothing_and_what_the_last_run_kept_is_there() -> None:
    wrong = [RIGHT[0], b"eA==\r\n", b"eA==\r\n", b"eA==\r\n"]
    lines = talk(Questions, *RIGHT[:2], b"*\r\n", b"NOOP\r\n", *wrong, b"NOOP\r\n", *RIGHT)
    assert [line[:3] for line in lines] == [
        b"334",
        b"334",
        b"501",
        b"250",
        *[b"334"] * 3,
        b"535",
        b"250",
        *[b"334"] * 3,
        b"235",
    ]
    assert lines[3] == b"250 2.0.0 None None seen 0"
    assert lines[8] == b"250 2.0.0 None None seen 1"


def test_answers_rest_in_the_store_as_long_as_the_exchange_and_no_longer() -> None:
    with Service(ON, Questions(), Questions()) as service:
        client = service.client("smtps")
        client.send(HELLO, RIGHT[0], b64("the first answer") + b"\r\n")
        stored = service.sessions.load(client.uuid)
        assert stored is not None
        assert b"the first answer" in stored.state
        client.send(b"*\r\n")
        stored = service.sessions.load(client.uuid)
        assert stored is not None
        assert b"the first answer" not in stored.state
        assert b"one?" not in stored.state


_nonces = itertools.count()


class CramMd5:
    """RFC 2195. Its challenge is another in each run, so it lets the exchange remember it."""

    def __init__(self, *, remembers: bool = True) -> None:
        self._remembers = remembers

    @staticmethod
    def make() -> str:
        return f"<{next(_nonces)}@mx.test>"

    async def auth_CRAM__MD5(self, server: Any, args: list[str]) -> AuthResult:
        challenge = server.once(self.make) if self._remembers else self.make()
        login, _, digest = (await server.challenge_auth(challenge)).rpartition(b" ")
        expected = hmac.new(PASSWORD.encode(), challenge.encode(), hashlib.md5).hexdigest()
        return AuthResult(success=digest.decode() == expected, handled=False, auth_data=login)


def cram_md5(make: Callable[[], object]) -> list[bytes]:
    with Service(ON, make(), make()) as service:
        client = service.client("smtps")
        assert b"\r\n250-AUTH CRAM-MD5\r\n" in client.send(HELLO)
        challenge = b64decode(client.send(b"AUTH CRAM-MD5\r\n").removeprefix(b"334 "))
        digest = hmac.new(PASSWORD.encode(), challenge, hashlib.md5).hexdigest()
        return client.send(b64(f"alice {digest}") + b"\r\n").splitlines()


def test_what_is_random_is_made_once_for_all_runs() -> None:
    assert cram_md5(CramMd5) == [b"235 2.7.0 Authentication succeeded"]


def test_a_challenge_that_differs_from_run_to_run_is_an_error_that_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """It must not be a wrong password: the user could do nothing about it."""
    assert cram_md5(lambda: CramMd5(remembers=False))[0].startswith(b"454 4.7.0 ")
    assert "Let server.once(...) make what is random" in caplog.text


class Tracing:
    """Tries to hold on to a run that ends in a challenge."""

    def __init__(self) -> None:
        self.log: list[str] = []

    async def auth_FINALLY(self, server: Any, args: list[str]) -> AuthResult:
        try:
            answer = await server.challenge_auth("?")
        except Exception:  # noqa: BLE001 - as foreign code does
            return AuthResult(success=True)
        finally:
            self.log.append("finally")
        return AuthResult(success=answer == b"yes", handled=False)

    async def auth_SWALLOW(self, server: Any, args: list[str]) -> AuthResult:
        with contextlib.suppress(BaseException):
            await server.challenge_auth("?")
            return AuthResult(success=False, handled=False)
        with contextlib.suppress(BaseException):
            await server.push("235 hello")
        server.session.authenticated = True
        return AuthResult(success=True)

    async def auth_AGAIN(self, server: Any, args: list[str]) -> AuthResult:
        with contextlib.suppress(BaseException):
            await server.challenge_auth("?")
        with contextlib.suppress(BaseException):
            await server.challenge_auth("!")
        return AuthResult(success=True)

    async def auth_FAIL(self, server: Any, args: list[str]) -> AuthResult:
        server.session.authenticated = True
        raise LookupError

    async def auth_TASK(self, server: Any, args: list[str]) -> AuthResult:
        answer = await asyncio.wait_for(asyncio.create_task(server.challenge_auth("?")), 60)
        return AuthResult(success=answer == b"yes", handled=False)

    async def auth_GROUP(self, server: Any, args: list[str]) -> AuthResult:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(server.challenge_auth("?"))
        return AuthResult(success=task.result() == b"yes", handled=False)

    async def auth_TRANSLATE(self, server: Any, args: list[str]) -> AuthResult:
        try:
            answer = await server.challenge_auth("?")
        except BaseException as error:
            raise RuntimeError("the client is gone") from error
        return AuthResult(success=answer == b"yes", handled=False)


@pytest.mark.parametrize("name", ["FINALLY", "TASK", "GROUP", "TRANSLATE"])
def test_however_a_method_waits_its_run_ends_at_the_challenge_and_the_next_has_the_answer(name: str) -> None:
    lines = talk(Tracing, b"AUTH %s\r\n" % name.encode(), b64("yes") + b"\r\n")
    assert lines == [b"334 Pw==", b"235 2.7.0 Authentication succeeded"]


def test_what_a_method_does_after_the_end_of_its_run_is_nothing() -> None:
    lines = talk(Tracing, b"AUTH SWALLOW\r\n", b64("yes") + b"\r\n", b"AUTH SWALLOW\r\n")
    assert [line[:3] for line in lines] == [b"334", b"535", b"334"]
    assert talk(Tracing, b"AUTH AGAIN\r\n", b64("yes") + b"\r\n")[:2] == [b"334 Pw==", b"334 IQ=="]


def test_a_method_that_fails_after_it_said_yes_authenticates_nobody() -> None:
    lines = talk(Tracing, b"AUTH FAIL\r\n", b"AUTH FINALLY\r\n", b64("yes") + b"\r\n")
    assert [line[:3] for line in lines] == [b"454", b"334", b"235"]


class Results:
    """Methods that end in each way that aiosmtpd knows."""

    async def auth_MESSAGE(self, server: Any, args: list[str]) -> AuthResult:
        return AuthResult(success=True, message="235 2.7.0 Welcome", auth_data=LoginPassword(b"alice", b"secret"))

    async def auth_NOT__HANDLED(self, server: Any, args: list[str]) -> AuthResult:
        return AuthResult(success=False, handled=False, message="550 No, and no again")

    async def auth_PUSHED(self, server: Any, args: list[str]) -> AuthResult:
        await server.push("535-5.7.8 No")
        await server.push(b"535 5.7.8 And no again")
        return AuthResult(success=False, handled=True)

    async def auth_SILENT(self, server: Any, args: list[str]) -> AuthResult:
        return AuthResult(success=False)

    async def auth_NONE(self, server: Any, args: list[str]) -> None:
        await server.push("454 4.7.0 Not now")

    async def auth_MISSING(self, server: Any, args: list[str]) -> object:
        return MISSING

    async def auth_FALSE(self, server: Any, args: list[str]) -> bool:
        return False

    async def auth_IDENTITY(self, server: Any, args: list[str]) -> bytes:
        return b"alice"

    @auth_mechanism("x-named")
    async def auth_anything(self, server: Any, args: list[str]) -> AuthResult:
        return AuthResult(success=True)

    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        return f"250 {session.authenticated} {session.auth_data!r} {session._login_data!r}"


@pytest.mark.parametrize(
    ("mechanism", "expected"),
    [
        (b"MESSAGE", [b"235 2.7.0 Welcome", b"250 2.0.0 True LoginPassword(login='alice', password=...) b'alice'"]),
        (b"NOT-HANDLED", [b"550 5.0.0 No, and no again", b"250 2.0.0 None None None"]),
        (b"PUSHED", [b"535-5.7.8 No", b"535 5.7.8 And no again", b"250 2.0.0 None None None"]),
        (b"SILENT", [b"535 5.7.8 Authentication credentials invalid", b"250 2.0.0 None None None"]),
        (b"NONE", [b"454 4.7.0 Not now", b"250 2.0.0 None None None"]),
        (b"MISSING", [b"535 5.7.8 Authentication credentials invalid", b"250 2.0.0 None None None"]),
        (b"FALSE", [b"535 5.7.8 Authentication credentials invalid", b"250 2.0.0 None None None"]),
        (b"IDENTITY", [b"235 2.7.0 Authentication succeeded", b"250 2.0.0 True None b'alice'"]),
        (b"X-NAMED", [b"235 2.7.0 Authentication succeeded", b"250 2.0.0 True None None"]),
    ],
)
def test_what_a_method_returns_means_what_it_means_to_aiosmtpd(mechanism: bytes, expected: list[bytes]) -> None:
    assert talk(Results, b"AUTH %s\r\n" % mechanism, b"NOOP\r\n") == expected


class Faulty:
    """Methods that fail with the client's secret in their hands."""

    async def auth_RAISE(self, server: Any, args: list[str]) -> AuthResult:
        raise ValueError(f"cannot parse {args[1]}")

    async def auth_EXIT(self, server: Any, args: list[str]) -> AuthResult:
        raise SystemExit(args[1])

    async def auth_CANCEL(self, server: Any, args: list[str]) -> AuthResult:
        raise asyncio.CancelledError(args[1])

    async def auth_REPLY(self, server: Any, args: list[str]) -> AuthResult:
        return AuthResult(success=False, handled=False, message=f"535 not {args[1]}\r\n250 OK")

    async def auth_SUCCESS(self, server: Any, args: list[str]) -> AuthResult:
        return AuthResult(success=True, message=f"535 {args[1]}")

    async def auth_PUSH(self, server: Any, args: list[str]) -> AuthResult:
        await server.push(f"235 {args[1]}")
        return AuthResult(success=False, handled=True)

    async def auth_BOTH(self, server: Any, args: list[str]) -> AuthResult:
        await server.push(f"535 {args[1]}")
        await server.challenge_auth("?")
        return AuthResult(success=True)

    async def auth_CHALLENGE(self, server: Any, args: list[str]) -> AuthResult:
        await server.challenge_auth(f"{args[1]}\r\n250 OK", encode_to_b64=False)
        return AuthResult(success=True)

    async def auth_ONCE(self, server: Any, args: list[str]) -> AuthResult:
        server.once(object)
        return AuthResult(success=True)

    def auth_SYNC(self, server: Any, args: list[str]) -> AuthResult:
        return AuthResult(success=True)

    async def auth_READER(self, server: Any, args: list[str]) -> AuthResult:
        await server._reader.readline()
        return AuthResult(success=True)


@pytest.mark.parametrize("name", [name.removeprefix("auth_") for name in vars(Faulty) if name.startswith("auth_")])
def test_a_method_that_fails_authenticates_nobody_and_quotes_nothing(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = b64("the secret").decode()
    lines = talk(Faulty, f"AUTH {name} {secret}\r\n".encode(), f"AUTH {name} {secret}\r\n".encode())
    assert [line[:9] for line in lines] == [b"454 4.7.0"] * 2
    assert f"AUTH {name} failed: " in caplog.text
    assert f"in auth_{name}" in caplog.text or name in {"SYNC", "SUCCESS", "REPLY", "PUSH"}
    assert secret not in caplog.text


class Explaining(Faulty):
    def __init__(self, reply: str) -> None:
        self._reply = reply

    async def handle_exception(self, error: Exception) -> str:
        return self._reply


@pytest.mark.parametrize(
    ("reply", "expected"), [("550 Broken", b"550 5.0.0 Broken"), ("250 OK", b"454 4.7.0"), ("nonsense", b"454 4.7.0")]
)
def test_handle_exception_is_asked_and_cannot_make_a_failure_a_success(reply: str, expected: bytes) -> None:
    [line] = talk(lambda: Explaining(reply), b"AUTH RAISE eA==\r\n")
    assert line.startswith(expected)


class Endless:
    async def auth_ENDLESS(self, server: Any, args: list[str]) -> AuthResult:
        while True:
            await server.challenge_auth("again?")


def test_an_exchange_has_an_end() -> None:
    lines = talk(Endless, b"AUTH ENDLESS\r\n", *[b"eA==\r\n"] * 16)
    assert [line[:3] for line in lines] == [b"334"] * 16 + [b"454"]


def test_what_cannot_be_saved_ends_the_session_and_authenticates_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Unsaveable:
        async def auth_X(self, server: Any, args: list[str]) -> AuthResult:
            return AuthResult(success=True, auth_data=object())

        async def auth_Y(self, server: Any, args: list[str]) -> AuthResult:
            server.envelope.kept = object()
            return AuthResult(success=True)

    assert [line[:3] for line in talk(Unsaveable, b"AUTH X\r\n", b"NOOP\r\n")] == [b"421"]
    assert "session.auth_data cannot be saved" in caplog.text
    assert [line[:3] for line in talk(Unsaveable, b"AUTH Y\r\n", b"NOOP\r\n")] == [b"421"]
    assert "envelope.kept cannot be saved" in caplog.text
    assert caplog.text.count("no authentication by") == 2


class HandleAuth:
    """Does it all, but for a mechanism that it leaves to the service."""

    async def handle_AUTH(self, server: Any, session: Any, envelope: Any, args: list[str]) -> Any:
        if args[0] == "LOGIN":
            return MISSING
        message = b64decode(args[1]) if len(args) == 2 else await server.challenge_auth("")
        if message.endswith(PASSWORD.encode()):
            session.authenticated = True
            session.auth_data = {"by": "handle_AUTH"}
            return "235 2.7.0 Hello"
        if message == b"lie":
            return "235 2.7.0 Nobody"
        await server.push("535 5.7.8 No")
        return None

    async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
        return f"250 {session.authenticated} {session.auth_data!r}"


def test_handle_auth_decides_and_is_asked_again_with_the_answer() -> None:
    lines = talk(
        HandleAuth,
        *(b"AUTH PLAIN eA==\r\n", b"AUTH PLAIN\r\n", b64(PASSWORD) + b"\r\n", b"NOOP\r\n", b"AUTH PLAIN eA==\r\n"),
    )
    assert lines[:4] == [b"535 5.7.8 No", b"334 ", b"235 2.7.0 Hello", b"250 2.0.0 True {'by': 'handle_AUTH'}"]
    assert lines[4][:3] == b"503"


def test_who_says_yes_and_authenticates_nobody_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    lines = talk(HandleAuth, b"AUTH PLAIN %s\r\n" % b64("lie"), b"NOOP\r\n")
    assert lines == [b"235 2.7.0 Nobody", b"250 2.0.0 None None"]
    assert "did not set session.authenticated" in caplog.text


def test_what_handle_auth_leaves_is_the_services() -> None:
    lines = talk(HandleAuth, b"AUTH LOGIN\r\n", b64("alice") + b"\r\n", b64(PASSWORD) + b"\r\n")
    assert [line[:3] for line in lines] == [b"334", b"334", b"535"]  # there is no users file


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, auth_data: LoginPassword) -> AuthResult:
    """The example of aiosmtpd's documentation."""
    assert server.session is session
    assert mechanism in {"LOGIN", "PLAIN"}
    if auth_data.login == b"fail":
        raise ValueError(f"cannot look up {auth_data.password.decode()}")
    if auth_data.login == b"silent":
        return AuthResult(success=False)
    if auth_data == (b"alice", PASSWORD.encode()):
        return AuthResult(success=True, auth_data=auth_data)
    return AuthResult(success=False, handled=False)


class Authenticator:
    def __init__(self, login: str) -> None:
        self._login = login.encode()

    def __call__(self, server: Any, session: Any, envelope: Any, mechanism: str, auth_data: Any) -> AuthResult:
        return AuthResult(success=auth_data.login == self._login, handled=False, auth_data=auth_data.login)


async def asynchronous(*_: object) -> AuthResult:
    return AuthResult(success=True)


def awaitable(*_: object) -> object:
    return asynchronous()


def plain(login: str, password: str) -> bytes:
    return b"AUTH PLAIN %s\r\n" % b64(f"\0{login}\0{password}")


def with_authenticator(name: str) -> SmtpSettings:
    return dataclasses.replace(ON, authenticator=f"{__name__}.{name}")


def test_the_authenticator_decides_on_plain_and_login_without_a_handler_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settings = with_authenticator("authenticate")
    login = [b"AUTH LOGIN\r\n", b64("alice") + b"\r\n", b64(PASSWORD) + b"\r\n"]
    lines = talk(lambda: None, plain("alice", "guess"), plain("silent", ""), *login, settings=settings)
    assert [line[:3] for line in lines] == [b"535", b"535", b"334", b"334", b"235"]
    assert "'alice' authenticated by LOGIN" in caplog.text
    assert PASSWORD not in caplog.text
    assert b64(PASSWORD).decode() not in caplog.text


def test_hooks_see_who_the_client_is_and_no_password() -> None:
    lines = talk(Results, plain("alice", PASSWORD), b"NOOP\r\n", settings=with_authenticator("authenticate"))
    assert lines[1] == b"250 2.0.0 True LoginPassword(login='alice', password=...) b'alice'"

    class Telling:
        async def handle_NOOP(self, server: Any, session: Any, envelope: Any, arg: str | None) -> str:
            return f"250 {session.auth_data.password!r}"

    lines = talk(Telling, plain("alice", PASSWORD), b"NOOP\r\n", settings=with_authenticator("authenticate"))
    assert lines[1] == b"250 2.0.0 b''"


def test_an_authenticator_that_fails_is_a_temporary_failure(caplog: pytest.LogCaptureFixture) -> None:
    lines = talk(lambda: None, plain("fail", PASSWORD), settings=with_authenticator("authenticate"))
    assert [line[:9] for line in lines] == [b"454 4.7.0"]
    assert "AUTH PLAIN failed: ValueError\n" in caplog.text
    assert PASSWORD not in caplog.text


def test_the_authenticator_may_be_a_class_with_arguments() -> None:
    settings = with_authenticator("Authenticator bob")
    assert talk(lambda: None, plain("alice", "x"), plain("bob", "x"), settings=settings)[1][:3] == b"235"


def test_an_answer_to_await_is_no_success() -> None:
    with pytest.warns(RuntimeWarning, match="never awaited"):
        lines = talk(lambda: None, plain("alice", "x"), settings=with_authenticator("awaitable"))
    assert lines[0][:3] == b"454"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no.such.module", "No module named"),
        (f"{__name__}.nothing", "AttributeError"),
        (f"{__name__}.PASSWORD", "is no class"),
        (f"{__name__}.authenticate bob", "a function has no arguments"),
        (f"{__name__}.Authenticator", "refuses its arguments: missing a required argument: 'login'"),
        (f"{__name__}.Questions", "what the class makes cannot be called"),
        (f"{__name__}.asynchronous", "must be no `async def`"),
    ],
)
def test_an_unusable_authenticator_is_an_error_at_the_start(value: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^SMTP_AUTHENTICATOR is ") as error:
        Service(dataclasses.replace(ON, authenticator=value))
    assert message in str(error.value)


def test_a_handlers_method_stands_for_the_built_in_one() -> None:
    class Own:
        async def auth_PLAIN(self, server: Any, args: list[str]) -> AuthResult:
            return AuthResult(success=True, message="235 2.7.0 Mine")

    lines = talk(Own, b"AUTH PLAIN\r\n", settings=with_authenticator("authenticate"))
    assert lines == [b"235 2.7.0 Mine"]


def test_hooks_are_told_of_auth_in_ehlo_and_may_authenticate_by_other_means() -> None:
    class Trusting(Questions):
        async def handle_EHLO(
            self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
        ) -> list[str]:
            assert "250-AUTH QUESTIONS" in responses
            session.host_name = hostname
            session.authenticated = hostname == "trusted"
            return responses

    required = dataclasses.replace(ON, auth_required=True)
    with Service(required, Trusting(), Trusting()) as service:
        client = service.client("smtps")
        assert codes(client.send(HELLO, envelope(), b"EHLO trusted\r\n", envelope())) == [
            *[250, 530, 530, 530],
            *[250, 250, 250, 354],
        ]
