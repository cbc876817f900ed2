# make demo    the main job, on a machine with Python 3.11+ and nothing else
# make test    every check and test
# make unit    the tests without a server, in seconds; unit-all with every Python here
# make test-systemd  the units, under a systemd of their own; as root
# make test-browser  the web front end in Chromium (apt-get install chromium-headless-shell)
# make screenshots   pictures of every page into build/screenshots; two into docs/images
# make bench   the comparison with other libraries; writes docs/benchmarks.md
# make bench-web  the web front end with much data; writes its section there
# make chaos   faults on a pool at work, and a count of its jobs (docs/reliability.md)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The environment with the project, and with the tools of its development as well.
PROJECT := $(VENV)/.project
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -q
# Given to the lanes, such as --workers=4; `--again --systemd` is what CI gives.
LANES ?=
COMMA := ,
NOTHING :=
SPACE := $(NOTHING) $(NOTHING)
# The unit tests must go every way through these.
COVERED := $(wildcard resqued/core resqued/wire)
MEASURED := --source=$(subst $(SPACE),$(COMMA),$(COVERED)) -m pytest -q

.PHONY: demo test test-systemd test-browser screenshots vendor check unit unit-all unit-others coverage coverage-core coverage-others bench bench-web chaos clean

demo: $(PROJECT)
	$(BIN)/resqued demo $(DEMO)

# The whole suite, in lanes: see CONTRIBUTING.md. One failure fails it.
test: check
	$(BIN)/python -m tests.support.lanes --beside '$(MAKE) -s -j3 -O unit-all' $(LANES)

# Boots this machine's files in a container, without a network, and leaves nothing.
# Skips where that cannot be done (no root, no systemd-container); with CI set it fails.
test-systemd: $(STAMP)
	$(PYTEST) tests/systemd

# Skips without chromium; with CI set it fails.
test-browser: $(STAMP)
	$(PYTEST) -n auto tests/browser

screenshots: $(STAMP)
	$(BIN)/python -m tests.support.screenshots

# Fetches what the web front end brings of others (docs/third-party.md); needs npm.
vendor: $(STAMP)
	$(BIN)/python tools/vendor.py

check: $(STAMP)
	$(BIN)/ruff format --check resqued tests bench tools
	$(BIN)/ruff check resqued tests bench tools
	$(BIN)/mypy

unit: $(STAMP)
	$(PYTEST) tests/unit

# The unit tests with every supported Python that is here, with this one for coverage.
unit-all: coverage unit-others

unit-others: $(STAMP)
	$(BIN)/python -m tests.support.pythons

# Two processes, for one would end long after the tests that run beside it.
coverage: coverage-core coverage-others
	$(BIN)/coverage combine --quiet .coverage.core .coverage.others
	$(BIN)/python -m tests.support.coverage_gate

coverage-core: $(STAMP)
	$(BIN)/coverage run --data-file=.coverage.core $(MEASURED) \
	  tests/unit/core tests/unit/wire

coverage-others: $(STAMP)
	$(BIN)/coverage run --data-file=.coverage.others $(MEASURED) \
	  tests/unit --ignore=tests/unit/core --ignore=tests/unit/wire

# Such as WEB='--failures 50000 --no-write'.
WEB ?=

bench-web: $(STAMP)
	$(BIN)/python -m bench.web $(WEB)

bench: $(STAMP)
	$(BIN)/python bench/run.py $(BENCH)

chaos: $(STAMP)
	$(BIN)/python -m bench.chaos $(CHAOS)

# Where the environment was made, and with which Python. It is made again if the folder
# was moved, PYTHON=... names another version, or an upgrade has replaced its Python.
PLACE := 'import os, sys; print(os.getcwd(), *sys.version_info[:2])'
ASKED := $(if $(filter file,$(origin PYTHON)),$(BIN)/python,$(PYTHON))
MADE := $(shell cat $(PROJECT) 2>/dev/null)
ifneq ($(MADE),$(if $(MADE),$(shell $(ASKED) -c $(PLACE) 2>/dev/null)))
.PHONY: $(PROJECT)
CLEAR := --clear
endif

# pip alone: a virtual environment with the project, editable, and what a demo needs.
# What an interrupted installation has left is removed first.
$(PROJECT): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit("resqued needs Python 3.11 or later, and $(PYTHON) is %d.%d: make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv $(if $(wildcard $@),$(CLEAR),--clear) $(VENV)
	$(PIP) -e '.[embedded,web]'
	@$(BIN)/python -c $(PLACE) >$@

$(STAMP): $(PROJECT) requirements-dev.txt requirements-unit.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) .venv-* .coverage* build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
