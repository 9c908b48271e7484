# Everything installs itself: `make demo` and `make test` work on a machine with Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint bench setup clean

demo: $(READY)  ## collect, train, guide, evaluate and report a real task, in minutes
	$(BIN)/qgf demo

test: $(READY)  ## every test
	$(BIN)/python -m pytest

lint: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## speed of training and of acting
	$(BIN)/python benchmarks/train_speed.py
	$(BIN)/python benchmarks/latency.py

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[ogbench,dev]'
	@touch $@

clean:
	rm -rf $(VENV) runs build dist
