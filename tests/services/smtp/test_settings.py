"""Settings from the environment."""

from __future__ import annotations

import pytest

from rr_tcp import ConfigurationError
from services.smtp import Limits, SmtpSettings
from services.smtp.body import BareNewlines


def test_without_variables_there_are_defaults() -> None:
    assert SmtpSettings.from_env({}) == SmtpSettings()
    assert SmtpSettings.from_env({"SMTP_HOSTNAME": "", "SMTP_MAX_SIZE": "", "MAIL_STORE": ""}) == SmtpSettings()
    assert SmtpSettings().mail_store == "sqlite:///var/mail.db"


def test_every_setting_has_a_variable() -> None:
    env = {
        "SMTP_HOSTNAME": "mx.example",
        "SMTP_HANDLER": " aiosmtpd.handlers.Sink ",
        "SMTP_MAX_SIZE": "1000",
        "SMTP_MAX_RECIPIENTS": "5",
        "SMTP_BARE_NEWLINES": "normalize",
        "SMTP_AUTH_LISTENERS": "smtps, submission,",
        "SMTP_AUTH_REQUIRED": "Yes",
        "SMTP_USERS": "/etc/mail/users",
        "SMTP_AUTHENTICATOR": " app.auth.check ",
        "MAIL_STORE": "sqlite:////srv/mail.db",
        "MAIL_MAX_BYTES": "1000000",
        "MAIL_KEEP": "500",
        "MAIL_MAX_AGE": "7d",
    }
    assert SmtpSettings.from_env(env) == SmtpSettings(
        hostname="mx.example",
        handler="aiosmtpd.handlers.Sink",
        mail_store="sqlite:////srv/mail.db",
        bare_newlines=BareNewlines.NORMALIZE,
        auth_listeners=("smtps", "submission"),
        auth_required=True,
        users="/etc/mail/users",
        authenticator="app.auth.check",
        limits=Limits(message=1000, recipients=5),
        mail_room=1_000_000,
        mail_keep=500,
        mail_max_age=604_800,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_HOSTNAME", "two words"),
        ("SMTP_HOSTNAME", "mx.example\r\n250 injected"),
        ("SMTP_MAX_SIZE", "10M"),
        ("SMTP_MAX_SIZE", "0"),
        ("SMTP_MAX_SIZE", "-1"),
        ("SMTP_MAX_SIZE", "134217729"),
        ("SMTP_MAX_SIZE", "\u0661"),
        ("SMTP_MAX_SIZE", "9" * 23),
        ("MAIL_KEEP", str(2**63)),
        ("SMTP_MAX_RECIPIENTS", "none"),
        ("MAIL_MAX_BYTES", "1G"),
        ("MAIL_KEEP", "0"),
        ("MAIL_MAX_AGE", "7"),
        ("SMTP_BARE_NEWLINES", "no"),
        ("SMTP_MAX_RECIPIENTS", "1000000"),
        ("SMTP_AUTH_REQUIRED", "smtps"),
    ],
)
def test_an_unusable_value_is_an_error_that_names_it(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name} is '.*': give ") as error:
        SmtpSettings.from_env({name: value})
    assert repr(value) in str(error.value)
