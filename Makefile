# make demo    the main job, on a machine with Python 3.11+ and nothing else
# make test    every check and test
# make test-systemd  the units, under a systemd of their own; as root
# make bench   the comparison with other libraries; writes docs/benchmarks.md
# make chaos   faults on a pool at work, and a count of its jobs (docs/reliability.md)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -q
# AT_ONCE='-n 3' runs three tests at once, for a quick look: some then miss a moment
# that they mean to catch.
AT_ONCE ?=

.PHONY: demo test test-systemd check unit bench chaos clean

demo: $(STAMP)
	$(BIN)/resqued demo $(DEMO)

# The whole suite against the embedded server; what touches a server once more
# against the system's redis-server, where there is one.
test: check
	$(PYTEST) $(AT_ONCE) --server=valkey
	@if command -v redis-server >/dev/null; then \
	  echo "once more, with $$(redis-server --version | cut -d' ' -f1-3)"; \
	  $(PYTEST) $(AT_ONCE) --server=redis tests/integration tests/system tests/compat; \
	else echo "no redis-server here: tested with the embedded server only"; fi

# Boots this machine's files in a container, without a network, and leaves nothing.
# Skips where that cannot be done (no root, no systemd-container); with CI set it fails.
test-systemd: $(STAMP)
	$(PYTEST) tests/systemd

check: $(STAMP)
	$(BIN)/ruff format --check resqued tests bench
	$(BIN)/ruff check resqued tests bench
	$(BIN)/mypy

unit: $(STAMP)
	$(PYTEST) tests/unit

bench: $(STAMP)
	$(BIN)/python bench/run.py $(BENCH)

chaos: $(STAMP)
	$(BIN)/python -m bench.chaos $(CHAOS)

# pip alone: a virtual environment with the project, editable, and its tools.
$(STAMP): pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit("resqued needs Python 3.11 or later, and $(PYTHON) is %d.%d: make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[embedded]' -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) .venv-bench build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
