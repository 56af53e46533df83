# Every target makes what it needs; a second run costs nothing. `make help` lists them.
# PYTHON=/path/to/python3.12 make test   uses another interpreter (remove .venv first).

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

# The first that runs and is new enough: a version manager's `python3.13` may be a shim with nothing behind it.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$python"; break; }; done)

.PHONY: help demo test quick ui lint format docs bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp  ## record real agent runs, without key or network, and look at them
	@$(BIN)/otel-traj demo
	@echo; echo 'The command lies in $(BIN). To call it as shown: . $(BIN)/activate'

test: $(VENV)/dev.stamp  ## all tests
	@$(PYTEST) $(ARGS)

quick: $(VENV)/dev.stamp  ## the tests that take no more than a moment
	@$(PYTEST) -m 'not slow' $(ARGS)

ui: $(VENV)/dev.stamp  ## build the viewer, which `otel-traj view` shows in this checkout
	@OTEL_TRAJ_UI=build $(BIN)/python -m pip install --quiet --no-deps --editable .

lint: $(VENV)/dev.stamp  ## style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pyright
	@$(BIN)/lint-imports

format: $(VENV)/dev.stamp  ## bring the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/dev.stamp  ## write again what the docs take from the code
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/examples.py

bench: $(VENV)/dev.stamp  ## every number that we quote, printed with its n
	@for script in bench/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

clean:  ## remove the environment and what tools left behind
	rm -rf $(VENV) .frameworks ui/node_modules otel_traj/server/static dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# pip reads dependency groups from 25.1 on; the one that comes with a Python may be years older.
$(VENV)/base.stamp:
	@test -n "$(PYTHON)" || { echo 'otel-traj needs Python 3.11 or later; none was found. Name one: make PYTHON=/path/to/python3' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo '$(PYTHON) is older than Python 3.11. Name another: make PYTHON=/path/to/python3' >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { echo '$(PYTHON) cannot make environments. On Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/demo.stamp: pyproject.toml | $(VENV)/base.stamp
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(VENV)/base.stamp
	$(BIN)/python -m pip install --quiet --editable '.[demo,server]' --group dev
	@touch $(VENV)/demo.stamp $@
