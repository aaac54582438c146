"""The commands in `console` blocks, which `test_pages` does not run, and why."""

from __future__ import annotations

_STACK = "runs in the foreground until Ctrl-C; tests/integration/test_run_stack.py runs it"
_DOCKER = "needs Docker; `make e2e` runs the Compose stack"
_EDGE = "needs Docker; tests/containers/test_edge.py does it, by `make e2e`"
_OWN = "needs a certificate of yours; tests/integration/test_edge_certificate.py checks what is made of one"
_BENCH = "measures for minutes, with a Python of the reader's choice; tests/bench runs the benchmark"
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
    ".venv/bin/python -m uv venv --python /usr/bin/python3 .cache/python": _BENCH,
    ".venv/bin/python -m uv pip install --python .cache/python/bin/python --require-hashes -r requirements.lock": (
        _BENCH
    ),
    "make bench-sdk PY=.cache/python/bin/python BENCH_ARGS=--rounds=15": _BENCH,
    "make faults": "takes minutes; .ci/run runs the short choice, tests/faults/test_runner.py the runner",
    "make lint rr": "makes the environment that these tests run in",
    ". .venv/bin/activate": "changes the shell that it is typed in",
    "docker compose up": _DOCKER,
    "docker compose -f docker-compose.yml -f compose.dev.yml watch": (
        "needs Docker, runs until Ctrl-C; tests/containers/test_watch.py runs it in a copy"
    ),
    "SMTP_AUTH_LISTENERS=smtps SMTP_USERS=/var/lib/mail/users docker compose --profile edge up": _DOCKER,
    "docker compose --profile edge up": _DOCKER,
    "docker compose --profile edge exec edge cat /var/lib/haproxy/clients/ca.crt > ca.crt": _EDGE,
    "openssl s_client -connect localhost:465 -CAfile ca.crt -verify_return_error -quiet": _EDGE,
    "cat fullchain.pem privkey.pem > certificates/mail.example.pem": _OWN,
    "chown -R 99 certificates && chmod 0600 certificates/*.pem": _OWN,
    "EDGE_CERTIFICATES=./certificates docker compose --profile edge up": _OWN,
    "python -m rr_tcp probe smtp localhost:465 --ca ca.crt": (
        "needs the edge on port 465; tests/integration/test_edge.py probes one"
    ),
    "docker compose --profile edge kill -s SIGUSR2 edge": _EDGE,
    "docker compose --profile edge exec stack python -m services.smtp passwd alice": _EDGE,
    "SMTP_PORT=0 ECHO_PORT=0 docker compose --profile edge up --scale stack=2": _EDGE,
    "docker compose -f docker-compose.yml -f deploy/edge/only.yml --profile edge up --scale stack=2": _DOCKER,
    "docker compose --profile observability up": _DOCKER,
    (
        "LOCK=requirements-otel.lock OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 "
        "docker compose up --build"
    ): _DOCKER,
    "RELAY_URL=smtp://mx.example:25 docker compose --profile relay up": _DOCKER,
    "WEBHOOK_URL=https://app.example/hook WEBHOOK_SECRET_FILE=./webhook-secret docker compose --profile webhook up": (
        _DOCKER
    ),
    "kubectl apply -k deploy/kubernetes/overlays/production": (
        "needs a cluster; tests/project/test_kubernetes.py renders and validates what it would get"
    ),
    "python -m rr_tcp new weather": "writes into the clone; tests/integration/test_cli_new.py runs it in a copy",
}
"""Each command as it stands, and the reason. A target of make that does not exist is found all the same."""
