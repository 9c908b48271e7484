# Everything installs itself: `make demo` and `make test` work on a machine with Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MODULES := tutorial/node_modules/.package-lock.json

.PHONY: demo test lint bench tutorial node setup clean

demo: $(READY)  ## collect, train, guide, evaluate and report a real task, in minutes
	$(BIN)/qgf demo

test: $(READY)  ## every test
	$(BIN)/python -m pytest
	tutorial/check.sh

lint: $(READY)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## speed of training and of acting
	$(BIN)/python benchmarks/train_speed.py
	$(BIN)/python benchmarks/latency.py

tutorial: node $(MODULES)  ## build the interactive tutorial into the package: `qgf tutorial` shows it
	cd tutorial && npm run -s build
	cp tutorial/dist/index.html src/qgf/pages/tutorial.html

node:
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' \
	  2>/dev/null || { echo "The tutorial needs Node 20.19 or newer: install nodejs and npm, then run make tutorial"; exit 1; }

$(MODULES): tutorial/package-lock.json | node
	cd tutorial && npm ci --no-audit --no-fund
	@touch $@

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[ogbench,dev]'
	@touch $@

clean:
	rm -rf $(VENV) runs build dist tutorial/node_modules tutorial/dist src/qgf/pages/tutorial.html
