# Every command of the project. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.DEFAULT_GOAL := help
.PHONY: help install demo test check unit oracle lab format lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(READY) ## virtual environment with the package and everything that tests need

# The lock says which versions; pyproject.toml says what is honest as a lower bound.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

demo: $(READY) ## the whole way on the sample archive: search, order, deliver, open; leaves demo/demo.html
	$(BIN)/extenso demo --out demo

test: check unit ## everything that CI runs

check: $(READY) ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: $(READY) ## the tests alone, two files at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

oracle: $(READY) ## compare the readers with other readers, and what is written with CF; CI runs this, too
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,oracle]'
	$(BIN)/python -m pip download --quiet --disable-pip-version-check -c constraints.txt --no-deps --no-binary :all: \
	  --dest $(VENV)/sdist sarsen
	$(BIN)/python -m pytest -m oracle -n 2 --dist loadfile --no-loadscope-reorder

lab: $(READY) ## open the notebook of the Explorer in JupyterLab
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lab]'
	$(BIN)/jupyter lab notebooks/02_explore.ipynb

format: $(READY) ## put the code into its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## write constraints.txt anew from what pyproject.toml admits today
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check '.[test,lab,oracle]'
	{ echo '# Versions that are known to work together. Written by `make lock`; used by make, CI and Binder.'; \
	  .venv-lock/bin/python -m pip freeze --disable-pip-version-check --exclude extenso-nb | grep -E '^[A-Za-z0-9._-]+=='; } > constraints.txt
	rm -rf .venv-lock

clean: ## remove the environment and what the tools leave
	rm -rf $(VENV) .venv-lock demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
