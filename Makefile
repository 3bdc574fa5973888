.DEFAULT_GOAL := help
.PHONY: help setup setup-tests demo test check protos protos-check bench fuzz soak faults faults-all dist dist-test deb deb-test sandbox clean

help:
	@echo "tabletd: replication lag and online schema changes for MySQL and MariaDB, driven over gRPC"
	@echo
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14 | sed 's/^/  make /'

setup:
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh --tests

demo: setup ## watch lag and two online schema changes on throw-away servers (sets itself up)
	@.venv/bin/tabletd demo

test: setup-tests ## run the tests against real servers and tools (sets itself up)
	@.venv/bin/pytest --numprocesses 4 --dist loadscope --no-loadscope-reorder

check: ## lint, types, import arrows, drift and compatibility of the wire contract
	@scripts/setup.sh packages venv
	@scripts/check.sh

protos: ## make the Python stubs from protos/
	@scripts/protos.sh generate

protos-check: ## fail when the committed stubs are not what protos/ gives
	@scripts/protos.sh check

faults: setup-tests ## migrations under random faults: RUNS=1 SEED=random TOOL=gh-ost|pt-osc
	@.venv/bin/python -m tests.faults $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED)) $(if $(TOOL),--tool $(TOOL))

faults-all: setup-tests ## every kind of fault with each tool, once: SEED=random TOOL=gh-ost|pt-osc
	@.venv/bin/python -m tests.faults --all $(if $(SEED),--seed $(SEED)) $(if $(TOOL),--tool $(TOOL))

fuzz: setup-tests ## hostile input at everything: INPUTS=100000 TARGET=vexec|ddl|flags|commands|callback|config|grpc-bytes|unfinished SEED=random
	@.venv/bin/python -m tests.fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(TARGET),--target $(TARGET)) $(if $(SEED),--seed $(SEED))

bench: setup ## measure lag, throughput and overhead, as tables and pictures: ONLY=lag-error,rest
	@scripts/setup.sh libfaketime matplotlib
	@.venv/bin/python -m tests.bench

soak: setup-tests ## small migrations for long: what the daemon holds must not grow: SOAK_MINUTES=60
	@.venv/bin/python -m tests.soak

dist: ## build the wheel and the sdist into dist/
	@scripts/setup.sh packages venv
	@.venv/bin/python -m hatchling build -d dist

dist-test: ## install the wheel with the oldest and the newest libraries, by each Python that is here
	@scripts/setup.sh packages venv wheels
	@DIST_TEST=whole .venv/bin/pytest tests/dist -v

deb: ## build the Debian package into dist/
	@scripts/setup.sh packages venv
	@packaging/deb/build.sh

deb-test: deb ## install, upgrade and remove that package, on a machine that never had it; root only
	@.venv/bin/pytest tests/deb -v

sandbox: setup ## start a throw-away primary and replica, each with a tablet
	@.venv/bin/tabletd sandbox start

clean: ## remove everything that make has put here
	@! [ -x .venv/bin/tabletd ] || .venv/bin/tabletd sandbox stop --all
	@[ ! -d .tools ] || chmod -R u+w .tools
	rm -rf .venv .tools dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
