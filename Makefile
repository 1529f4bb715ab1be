# Two commands: `make demo` and `make test`. Needs python3.11 (or newer) with venv and pip, make and git.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs lock clean

help:  ## Show what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What is installed follows the lock files alone: --no-deps adds nothing, --require-hashes refuses other bytes.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing the locked dependencies into $(VENV)" >&2
	$(PIP) install --no-deps --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@echo "installing the locked development tools into $(VENV)" >&2
	$(PIP) install --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.runtime  ## The whole story on real data, in ./demo-workspace
	@rm -rf demo-workspace && mkdir demo-workspace
	cd demo-workspace && ../$(BIN)/mlgov demo
	@echo "for these commands: cd demo-workspace && export PATH=\"$(CURDIR)/$(BIN):\$$PATH\""

test: $(VENV)/.dev  ## The test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered

lint: $(VENV)/.dev  ## Style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev  ## The documentation, strictly, into ./site
	$(BIN)/mkdocs build --strict

UV_COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --no-emit-index-url --custom-compile-command "make lock" pyproject.toml --group pyproject.toml:build

lock:  ## Renew both lock files (needs uv); the smaller one is a subset of the larger
	$(UV_COMPILE) --extra all $(foreach group,test lint docs fuzz,--group pyproject.toml:$(group)) -o requirements-dev.lock
	$(UV_COMPILE) -c requirements-dev.lock -o requirements.lock

clean:  ## Remove what was made
	rm -rf $(VENV) demo-workspace site dist
