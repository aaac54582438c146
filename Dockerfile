# The stack in one image: RoadRunner's binary, a virtual environment from the hash-pinned lock, and the sources.
# The base images are build arguments: a machine that reaches no image registry builds on stand-ins (.ci/base-images).
ARG RR_IMAGE=ghcr.io/roadrunner-server/roadrunner:2025.1.15
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${RR_IMAGE} AS rr

FROM ${PYTHON_IMAGE} AS build
# requirements-otel.lock has what traces need as well.
ARG LOCK=requirements.lock
COPY ${LOCK} /tmp/requirements.lock
# pip is needed to build the environment, not in it. Both secrets are optional: a CA bundle for a builder behind its
# own certificate authority, and pip's configuration for one with its own index.
RUN --mount=type=secret,id=ca_bundle,target=/etc/ssl/certs/ca-certificates.crt \
    --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    python3 -m venv /tmp/pip \
    && python3 -m venv --without-pip /opt/venv \
    && /tmp/pip/bin/pip --python /opt/venv/bin/python install \
        --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes -r /tmp/requirements.lock
# What is copied is listed in .dockerignore, directory by directory; of what lies in them, e.g. a .env, a key or a list of
# users, only code stays. What else a service reads at run time, e.g. a template, needs its pattern here.
# The bytecode is made here because nothing can be written at run time; it never looks at the sources' times, which a copy
# may change.
COPY . /app/
RUN find /app -type f ! -name '*.py' ! -name py.typed ! -name '*.rr.yaml' ! -name requirements.lock -delete
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${PYTHON_IMAGE} AS runtime
RUN groupadd --gid 10001 rr \
    && useradd --uid 10001 --gid rr --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin rr \
    && install -d -o rr -g rr -m 0750 /var/lib/mail
COPY --from=rr --chmod=0755 /usr/bin/rr /usr/local/bin/rr
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHON=/opt/venv/bin/python \
    PYTHONDONTWRITEBYTECODE=1 \
    LISTEN_HOST=0.0.0.0 \
    SMTP_PORT=1025 \
    ECHO_PORT=8889 \
    MAIL_STORE=sqlite:////var/lib/mail/mail.db
USER 10001:10001
EXPOSE 1025 8889
# RoadRunner's own status page knows nothing of its tcp plugin: only a reply in each protocol shows that workers answer.
# Short, because `up --wait` waits for the first one. A container that runs a part of the services names it in PROBES, e.g.
# line=127.0.0.1:8889
HEALTHCHECK --interval=5s --timeout=10s --start-period=60s --retries=3 \
    CMD for probe in ${PROBES:-smtp=127.0.0.1:$SMTP_PORT line=127.0.0.1:$ECHO_PORT}; do \
        python -m rr_tcp probe "${probe%%=*}" "${probe#*=}" || exit 1; done
# All that RoadRunner says on stdout is that it starts and that it stops, as text: no line of a log of JSON.
CMD ["sh", "-c", "if [ \"$LOG_FORMAT\" = json ]; then exec >/dev/null; fi; exec rr serve -c .rr.yaml"]

# For compose.dev.yml alone: code that can be replaced while it runs, and none of the bytecode that would be taken for it.
FROM runtime AS development
USER 0
RUN chown -R rr:rr /app && find /app -name __pycache__ -prune -exec rm -r {} +
USER 10001:10001

# The last one is what a build makes that names none.
FROM runtime
