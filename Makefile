# The stack of stateful TCP services on RoadRunner. `make` prints this help.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PY := .venv/bin/python
UNIT_TESTS := tests/rr_tcp tests/services tests/workers tests/differential tests/tools tests/project tests/fuzz tests/faults tests/bench tests/dashboard
# What `make test` and `make e2e` hand to pytest, e.g. PYTEST_ARGS='-k smtp -x'
PYTEST_ARGS ?=
# What `make bench-sdk`, `make bench-smtp` and `make bench-scale` hand to the benchmark, e.g. BENCH_ARGS='--rounds 20'
BENCH_ARGS ?=
# What `make faults` hands to the runner, e.g. FAULTS_ARGS='F1 --quick'
FAULTS_ARGS ?=
# How long `make fuzz` and `make fuzz-smtp` look for faults
SECONDS ?= 60
# How many dialogues `make differential` holds with both servers
DIALOGUES ?= 10000
# What `make audit` hands to pip-audit, e.g. AUDIT_ARGS='--vulnerability-service osv'
AUDIT_ARGS ?=
# Where `make sbom` writes
SBOM_DIR ?= sbom
# Compose project of `make e2e`: its own, so that tearing it down never touches yours
E2E_PROJECT ?= rr-tcp-e2e

.PHONY: help
help: ## Print this help
	@echo 'usage: make TARGET'
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: rr .venv/.runtime ## Run the stack in the foreground (settings: .env.example); Ctrl-C ends it
	@exec $(PY) -m scripts.run_stack

.PHONY: test
test: lint types unit integration e2e-native ## Lint, types, unit, integration and end-to-end tests, without Docker
	@echo 'make test: all passed'

.PHONY: lint
lint: .venv/.dev ## Check style, formatting and the import rules between the layers
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports

.PHONY: types
types: .venv/.dev ## Check types (mypy --strict)
	$(PY) -m mypy .

.PHONY: unit
unit: .venv/.dev rr redis prometheus toxiproxy kustomize audit-env ## Run the unit tests and the contract tests of the stores
	$(PY) -m pytest $(UNIT_TESTS) $(PYTEST_ARGS)

.PHONY: integration
integration: .venv/.dev rr redis haproxy prometheus ## Run the tests against the real RoadRunner and Redis, and what the docs say
	$(PY) -m pytest tests/integration tests/packaging tests/docs $(PYTEST_ARGS)

.PHONY: e2e-native
e2e-native: .venv/.dev rr ## Run the end-to-end tests against `make run`'s stack
	$(PY) -m pytest tests/e2e --target native $(PYTEST_ARGS)

.PHONY: e2e
e2e: require-docker .venv/.dev ## Run the end-to-end tests and those of the containers on the Compose stack (needs Docker)
	E2E_PROJECT=$(E2E_PROJECT) $(PY) -m pytest tests/e2e tests/containers --target compose \
	  --compose-project $(E2E_PROJECT) $(PYTEST_ARGS)

.PHONY: test-pythons
test-pythons: rr redis prometheus toxiproxy kustomize audit-env ## Run the unit tests on every Python from 3.11 to 3.13 that the machine has
	@scripts/test-pythons $(UNIT_TESTS) $(PYTEST_ARGS)

.PHONY: fuzz
fuzz: .venv/.fuzz ## Fuzz every target, SECONDS=60 in all, and send one worker a million events
	$(PY) -m tests.fuzz --seconds $(SECONDS)
	$(PY) -m tests.fuzz.memory

.PHONY: differential
differential: .venv/.dev rr ## Compare the mail service with a stock aiosmtpd, DIALOGUES=10000 random dialogues
	$(PY) -m tests.differential --dialogues $(DIALOGUES)

.PHONY: faults
faults: .venv/.fuzz rr redis toxiproxy ## Provoke faults on real stacks and report what held (FAULTS_ARGS=--quick: a short choice)
	@$(PY) -m tests.faults $(FAULTS_ARGS)

.PHONY: fuzz-smtp
fuzz-smtp: .venv/.dev redis ## Hold the mail service to a model while stores fail and workers die, SECONDS=60
	$(PY) -m tests.differential.model --seconds $(SECONDS)

.PHONY: require-docker
require-docker:
	@scripts/require-docker $(firstword $(MAKECMDGOALS))

.PHONY: bench-sdk
bench-sdk: .venv/.dev rr redis ## Compare the SDK with a worker that does no work (needs Go; BENCH_ARGS=--quick to try)
	$(PY) -m bench.sdk $(BENCH_ARGS)

.PHONY: bench-smtp
bench-smtp: .venv/.dev rr redis ## Compare the mail service with aiosmtpd (needs Go; BENCH_ARGS=--quick to try)
	$(PY) -m bench.smtp $(BENCH_ARGS)

.PHONY: bench-scale
bench-scale: .venv/.dev rr redis ## Measure what a connection and a mail cost on Redis (needs Go; BENCH_ARGS=--quick to try)
	$(PY) -m bench.scale $(BENCH_ARGS)

.PHONY: docs
docs: .venv/.docs ## Build the documentation as site/; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
	@echo 'docs: open site/index.html'

.PHONY: format
format: .venv/.dev ## Format the code and apply safe lint fixes
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

.PHONY: rr
rr: ## Get the RoadRunner server as bin/rr
	@scripts/get-rr

.PHONY: redis
redis: ## Get a redis-server for the tests
	@scripts/get-redis >/dev/null

.PHONY: kustomize
kustomize: ## Find or build what renders deploy/kubernetes for the tests
	@scripts/get-kustomize >/dev/null

.PHONY: toxiproxy
toxiproxy: ## Get the proxy that the faults of Redis need as bin/toxiproxy-server (needs Go)
	@scripts/get-toxiproxy

.PHONY: audit
audit: audit-env ## Look up known vulnerabilities of all that is pinned (needs the services that know them)
	@.cache/audit/bin/python -m scripts.audit $(AUDIT_ARGS)

.PHONY: sbom
sbom: audit-env rr ## Write bills of materials, CycloneDX: what runs of Python, and RoadRunner's modules (needs Go)
	@scripts/setup-bare .cache/sbom
	@mkdir -p $(SBOM_DIR)
	@.cache/audit/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --sv 1.6 --validate \
	  -o $(SBOM_DIR)/python.cdx.json .cache/sbom/bin/python
	@.cache/audit/bin/python -m scripts.sbom go bin/rr $(SBOM_DIR)/roadrunner.cdx.json
	@echo 'sbom: $(SBOM_DIR)/python.cdx.json, $(SBOM_DIR)/roadrunner.cdx.json'

.PHONY: sbom-image
sbom-image: require-docker audit-env ## Write the bill of materials of the image's Debian packages (needs Docker)
	@docker compose build --quiet stack
	@mkdir -p $(SBOM_DIR)
	@.cache/audit/bin/python -m scripts.sbom debian \
	  "$$(docker compose config --images stack | grep -- '-stack$$')" $(SBOM_DIR)/image.cdx.json
	@echo 'sbom: $(SBOM_DIR)/image.cdx.json'

.PHONY: audit-env
audit-env: .venv/.dev
	@scripts/setup-audit

.PHONY: haproxy
haproxy: ## Get a haproxy for the tests of the edge
	@scripts/get-haproxy >/dev/null

.PHONY: dashboard-picture
dashboard-picture: .venv/.dev rr redis prometheus ## Draw docs/dashboard.svg from a stack that is used for minutes
	@$(PY) -m tests.dashboard

.PHONY: prometheus
prometheus: ## Get Prometheus for the tests of metrics, alerts and dashboard
	@scripts/get-prometheus >/dev/null

.PHONY: lock
lock: .venv/.dev ## Resolve the dependencies anew and pin them by hash
	$(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --extra services pyproject.toml -o requirements.lock
	$(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --extra services --extra otel --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	$(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --extra services --extra otel -c requirements-dev.lock pyproject.toml -o requirements-otel.lock
	$(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --group docs -c requirements-dev.lock -o requirements-docs.lock
	$(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --group fuzz -c requirements-dev.lock -o requirements-fuzz.lock
	$(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --group audit -c requirements-dev.lock -o requirements-audit.lock

.PHONY: clean
clean: ## Remove what make made, but no mail (var/)
	rm -rf .venv bin site sbom .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.runtime: requirements.lock scripts/setup-venv
	@scripts/setup-venv requirements.lock
	@touch $@

.venv/.dev: requirements-dev.lock scripts/setup-venv
	@scripts/setup-venv requirements-dev.lock
	@touch $@ .venv/.runtime

.venv/.fuzz: requirements-fuzz.lock .venv/.dev scripts/setup-venv
	@scripts/setup-venv requirements-fuzz.lock
	@touch $@

.venv/.docs: requirements-docs.lock .venv/.dev scripts/setup-venv
	@scripts/setup-venv requirements-docs.lock
	@touch $@
