# `make run` and `make test` need nothing but Python 3.11 or newer: what they use is
# installed into .venv here, once, and again when setup.cfg or pyproject.toml change.

SUITABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

# Each is tried by running it: a name on the PATH may lead to something that does not start.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11; do \
	$$python -c '$(SUITABLE)' 2>/dev/null && echo $$python && exit; done; echo python3)

VENV := .venv
INSTALLED := $(VENV)/installed
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help run test bench lint format clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) ## start a server here; ARGS="--data-port 9080" adds options
	$(VENV)/bin/twistd -n --pidfile= inletspy $(ARGS)

test: $(INSTALLED) ## run the tests; TESTS=tests.wire runs some of them
	$(VENV)/bin/python -m twisted.trial $(TESTS)

bench: $(INSTALLED) ## measure it beside other tunnels; ARGS="--rounds 1" adds options
	$(VENV)/bin/python -m bench --json bench.json $(ARGS)

lint: $(INSTALLED) ## check style and types
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

format: $(INSTALLED) ## put the code into shape
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

clean: ## remove all that was made here, .venv too
	rm -rf $(VENV) .browser build dist *.egg-info _trial_temp* .mypy_cache .ruff_cache .hypothesis
	rm -f twisted/plugins/dropin.cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): setup.cfg pyproject.toml
	@$(VENV)/bin/python -c '' 2>/dev/null || $(PYTHON) -c '$(SUITABLE)' 2>/dev/null || { \
		echo "inletspy needs Python 3.11 or newer with its venv module" \
			"(Debian, Ubuntu: apt-get install python3-venv);" \
			"make PYTHON=/path/to/python3 names another one" >&2; exit 1; }
	@$(VENV)/bin/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing inletspy and what it needs into $(VENV)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[test,lint]'
	@touch $@
