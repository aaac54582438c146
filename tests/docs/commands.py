"""The commands in `console` blocks, which `test_pages` does not run, and why."""

from __future__ import annotations

_STACK = "runs in the foreground until Ctrl-C; tests/integration/test_run_stack.py runs it"
_DOCKER = "needs Docker; `make e2e` runs the Compose stack"
_ITSELF = "runs these tests"

NOT_RUN = {
    "make run": _STACK,
    "SESSION_STORE=lmdb:///dev/shm/sessions make run": _STACK,
    "SESSION_STORE=redis://127.0.0.1:6379/0 make run": _STACK,
    "SESSION_STORE=rrkv://sessions make run": _STACK,
    "SMTP_HANDLER='aiosmtpd.handlers.Mailbox var/maildir' make run": (
        "runs in the foreground until Ctrl-C; tests/services/smtp/test_handlers.py runs the handler"
    ),
    "make test": _ITSELF,
    "make e2e": _DOCKER,
    "make faults": "takes minutes; .ci/run runs the short choice, tests/faults/test_runner.py the runner",
    "make lint rr": "makes the environment that these tests run in",
    ". .venv/bin/activate": "changes the shell that it is typed in",
    "docker compose up": _DOCKER,
    "python -m rr_tcp new weather": "writes into the clone; tests/integration/test_cli_new.py runs it in a copy",
}
"""Each command as it stands, and the reason. A target of make that does not exist is found all the same."""
