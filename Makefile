# Every target makes .venv when it is missing or older than pyproject.toml or constraints.txt.
#   make demo PYTHON=python3.12    with another Python
#   make test WORKERS=8            on more cores

PYTHON ?= python3
WORKERS ?= 2

BIN := .venv/bin
INSTALLED := .venv/.installed
PYTEST := $(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

.PHONY: help install demo test test-all lint audit format docs notebooks clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## make .venv with the exact versions of constraints.txt

demo: $(INSTALLED)  ## train on phantom volumes, segment unseen ones, evaluate, draw: three to seven minutes
	$(BIN)/hybridseg demo

test: $(INSTALLED)  ## the fast tests
	$(PYTEST) -m "not slow"

test-all: $(INSTALLED)  ## every test
	$(PYTEST)

lint: $(INSTALLED)  ## ruff, mypy, pyright
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright

audit:  ## check the locked dependencies for known vulnerabilities; asks an online service
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --disable-pip-version-check --quiet pip-audit
	.venv-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

format: $(INSTALLED)  ## sort imports, apply ruff's safe fixes and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(INSTALLED)  ## draw the figures and build the documentation into site/
	$(BIN)/python docs/figures.py
	$(BIN)/python docs/mixer_table.py
	$(BIN)/mkdocs build --strict

notebooks: $(INSTALLED)  ## run the notebooks and store their outputs: about five minutes
	$(BIN)/python -m tests.notebooks.execution

clean:  ## remove caches and build products; .venv and runs/ stay
	rm -rf build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find app bundles networks tests transforms -name __pycache__ -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("HybridSeg needs Python 3.11 or later; %s is %d.%d. Try: make PYTHON=python3.11" % ((sys.executable,) + sys.version_info[:2]) if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --editable ".[all,dev]" --constraint constraints.txt
	@touch $@
