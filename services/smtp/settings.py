"""Settings of the SMTP service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rr_tcp import ConfigurationError
from services.smtp.addresses import is_host
from services.smtp.body import BareNewlines
from services.smtp.durations import parse_duration
from services.smtp.limits import LARGEST_ANNOUNCED, LARGEST_MESSAGE, Limits

HOSTNAME: Final = "localhost"
"""How the service calls itself unless told otherwise. Not the machine's name: looking that up can take seconds, and in
a container it means nothing to anybody."""

MAIL_STORE: Final = "sqlite:///var/mail.db"
"""A file under the working directory: mail that was acknowledged must outlast a reboot, which /tmp may not."""

LARGEST_NUMBER: Final = 2**63 - 1
"""What the databases of the mail stores can count to."""


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """Settings of the SMTP service.

    Attributes:
        hostname: how the service calls itself: a domain, or an address literal such as `[127.0.0.1]`.
        mail_store: URL of the mail store, see `mailstore.open_mail_store`.
        handler: dotted path of a class with aiosmtpd's hooks, then its arguments as in a shell; "" for none.
        bare_newlines: what becomes of a mail with a CR or LF that is not part of CR LF.
        auth_listeners: names of RoadRunner's `tcp.servers` that clients reach through TLS only: there, and nowhere
            else, they may authenticate.
        tls_listeners: names of those that clients reach through TLS only, whether or not they may authenticate there.
        auth_required: whether nobody sends mail without having done so, on any listener.
        users: path of the users file, see `users_file`; "" for none.
        authenticator: dotted path of aiosmtpd's `authenticator`, or of a class and its arguments; "" for none.
        limits: what a client may ask for.
        mail_room: bytes that the texts of all mails may take together; the next one is told to come later (452).
        mail_keep: the latest so many mails are kept; None for all.
        mail_max_age: seconds that a mail is kept; None for ever.
    """

    hostname: str = HOSTNAME
    mail_store: str = MAIL_STORE
    handler: str = ""
    bare_newlines: BareNewlines = BareNewlines.REJECT
    auth_listeners: tuple[str, ...] = ()
    tls_listeners: tuple[str, ...] = ()
    auth_required: bool = False
    users: str = ""
    authenticator: str = ""
    limits: Limits = field(default_factory=Limits)
    mail_room: int | None = None
    mail_keep: int | None = None
    mail_max_age: int | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> SmtpSettings:
        """Reads the variables SMTP_... and MAIL_... that `.env.example` describes; empty is unset.

        Raises:
            ConfigurationError: a value cannot be used. What MAIL_STORE, SMTP_HANDLER, SMTP_USERS and SMTP_AUTHENTICATOR
                name is looked at when it is opened.
        """
        hostname = env.get("SMTP_HOSTNAME") or HOSTNAME
        if not is_host(hostname):
            raise ConfigurationError(
                f"SMTP_HOSTNAME is {hostname!r}: give a domain, e.g. mail.example, or an address literal, e.g. "
                "[127.0.0.1]"
            )
        defaults = Limits()
        limits = Limits(
            message=positive(env, "SMTP_MAX_SIZE", defaults.message, "most bytes of one mail", most=LARGEST_MESSAGE),
            recipients=positive(
                env, "SMTP_MAX_RECIPIENTS", defaults.recipients, "most recipients of one mail", most=LARGEST_ANNOUNCED
            ),
        )
        return cls(
            hostname=hostname,
            mail_store=env.get("MAIL_STORE") or MAIL_STORE,
            handler=env.get("SMTP_HANDLER", "").strip(),
            bare_newlines=_bare_newlines(env),
            auth_listeners=_names(env.get("SMTP_AUTH_LISTENERS", "")),
            auth_required=_flag(env, "SMTP_AUTH_REQUIRED"),
            users=env.get("SMTP_USERS", ""),
            authenticator=env.get("SMTP_AUTHENTICATOR", "").strip(),
            limits=limits,
            mail_room=_optional(env, "MAIL_MAX_BYTES", "most bytes of all mails"),
            mail_keep=_optional(env, "MAIL_KEEP", "most mails to keep"),
            mail_max_age=parse_duration(age, "MAIL_MAX_AGE") if (age := env.get("MAIL_MAX_AGE")) else None,
        )


def _bare_newlines(env: Mapping[str, str]) -> BareNewlines:
    value = env.get("SMTP_BARE_NEWLINES") or BareNewlines.REJECT
    try:
        return BareNewlines(value)
    except ValueError:
        raise ConfigurationError(
            f"SMTP_BARE_NEWLINES is {value!r}: give reject, to refuse a mail with a CR or LF that is not part of CR "
            "LF, or normalize, to make each one CR LF"
        ) from None


def _optional(env: Mapping[str, str], name: str, what: str) -> int | None:
    return positive(env, name, 1000, what) if env.get(name) else None


def positive(env: Mapping[str, str], name: str, default: int, what: str, *, most: int = LARGEST_NUMBER) -> int:
    """A setting that is a whole number above 0; empty is unset.

    Args:
        env: the variables.
        name: of the setting.
        default: its value when it is unset.
        what: completes "give the ..." in the error.
        most: what it cannot be above.

    Raises:
        ConfigurationError: it is none.
    """
    value = env.get(name) or str(default)
    digits = value.isascii() and value.isdecimal() and len(value) <= len(str(LARGEST_NUMBER))
    if not digits or not 1 <= int(value) <= most:
        allowed = "above 0" if most == LARGEST_NUMBER else f"from 1 to {most}"
        raise ConfigurationError(f"{name} is {value!r:.100}: give the {what}, a whole number {allowed}, e.g. {default}")
    return int(value)


def _names(value: str) -> tuple[str, ...]:
    """The words between commas."""
    return tuple(filter(None, map(str.strip, value.split(","))))


def _flag(env: Mapping[str, str], name: str) -> bool:
    value = (env.get(name) or "0").lower()
    if value not in {"0", "1", "false", "true", "no", "yes", "off", "on"}:
        raise ConfigurationError(f"{name} is {env[name]!r}: give 1 for yes or 0 for no")
    return value in {"1", "true", "yes", "on"}
