# Everything a developer starts, and nothing else: `make` lists it.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Each test of a process starts Python anew: without compiled files it would compile everything each time.
unexport PYTHONDONTWRITEBYTECODE

# The first interpreter that is new enough; `make PYTHON=/path/to/python3.12 setup` names another.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# --no-annotate and --no-emit-index-url: a lock must read the same whatever registry or directory it was made from.
COMPILE = $(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-header --no-emit-index-url --no-emit-find-links --no-annotate
PYTEST = $(BIN)/python -m pytest

.PHONY: help setup run demo test check lint types rules fast bench fmt docs dist lock clean

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with the locked packages

$(READY): pyproject.toml requirements/dev.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: none of python3.13, python3.12, python3.11, python3 is." >&2; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON) (once; a minute or two)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup ## start streamledger with a PostgreSQL of its own (ARGS="--port 8471")
	$(BIN)/streamledger serve $(ARGS)

demo: setup ## start it, play Tencent against it, say where to look
	$(BIN)/streamledger demo $(ARGS)

test: setup ## run every test (ARGS="-k stop")
	HYPOTHESIS_PROFILE=ci $(PYTEST) --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

check: lint types rules fast ## what must pass before a commit, in under two minutes

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

rules: setup
	$(BIN)/lint-imports

fast: setup
	HYPOTHESIS_PROFILE=dev $(PYTEST) --quiet tests/unit tests/property tests/house

bench: setup ## measure on this machine
	$(BIN)/python -m benchmarks $(ARGS)

fmt: setup ## format, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup ## write docs/settings.md and docs/cli.md from the code
	$(BIN)/python -m scripts.reference

dist: setup ## build the wheel and the source archive into dist/
	@rm -rf dist
	$(BIN)/python -m hatchling build

lock: setup ## resolve pyproject.toml anew into requirements/*.lock (ARGS=--upgrade)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(COMPILE) $(ARGS) pyproject.toml --output-file requirements/run.lock
	$(COMPILE) $(ARGS) pyproject.toml --group dev --output-file requirements/dev.lock

clean: ## remove .venv and caches; streamledger-data/ stays
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
