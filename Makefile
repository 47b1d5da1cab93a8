# Everything a contributor runs. `make` lists the targets; each makes what it needs first.

PYTHON ?= python3
UV ?= uv
JOBS ?= 2
TESTS ?=
COVERAGE ?= --cov --cov-report=term --cov-fail-under=90

BIN := .venv/bin
INSTALLED := .venv/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo run test check drill bench docs lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(INSTALLED) ## Install Shanraq and its tools into .venv, exactly as locked

$(INSTALLED): requirements/dev.txt pyproject.toml hatch_build.py src/shanraq/standards/iso8583/_speed.pyx
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Shanraq needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1):" \
			"name another, as in: make setup PYTHON=python3.13" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv || { \
		echo "could not create .venv: install the venv module of your Python (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

demo: $(INSTALLED) ## Start everything with example data and show a payment
	$(BIN)/shanraq demo

run: $(INSTALLED) ## Run all roles on this machine (http://127.0.0.1:8080)
	$(BIN)/shanraq serve

test: $(INSTALLED) ## Run the tests (one file: TESTS=tests/core/test_db.py, without coverage: COVERAGE=)
	$(BIN)/pytest -n $(JOBS) $(COVERAGE) $(TESTS)

check: $(INSTALLED) ## Check style, types, layers of imports and dependencies
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src

drill: $(INSTALLED) ## Run the crash and fuzz drills in full (minutes)
	SHANRAQ_DRILL=full $(BIN)/pytest -m drill -n 0 --timeout 3600

bench: $(INSTALLED) ## Measure the ledger, the API and the codecs of ISO 8583 and ISO 20022 on this machine
	$(BIN)/shanraq bench ledger
	$(BIN)/shanraq bench api
	$(BIN)/shanraq bench iso8583
	$(BIN)/shanraq bench iso20022

docs: $(INSTALLED) ## Write openapi/ and events/ anew from the code
	$(BIN)/shanraq docs

lock: ## Lock the dependencies of pyproject.toml into requirements/ (needs uv)
	@command -v $(UV) >/dev/null || { \
		echo "make lock needs uv, which is no part of .venv: install it (pipx install uv), or name it: make lock UV=path/to/uv" >&2; exit 1; }
	$(UV) pip compile -q --generate-hashes --universal --no-strip-extras --no-header --python-version 3.11 \
		pyproject.toml -o requirements/base.txt
	$(UV) pip compile -q --generate-hashes --universal --no-strip-extras --no-header --python-version 3.11 \
		--group dev -c requirements/base.txt pyproject.toml -o requirements/dev.txt

clean: ## Remove caches and reports (the .venv stays)
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache htmlcov dist .coverage .coverage.*
