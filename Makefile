# Everything installs itself: `make demo` and `make test` work on a machine with Python 3.11 or newer and make.
# The first of these that is new enough; 3.13 comes last: it has no wheel of everything (see pyproject.toml).
fits = $(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
PYTHON ?= $(firstword $(foreach python,python3.12 python3.11 python3,$(shell $(call fits,$(python)) && echo $(python))))
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS := $(VENV)/.docs
MODULES := tutorial/node_modules/.package-lock.json
PAGE := src/qgf/pages/tutorial.html

# Bytecode is kept whatever the machine says: else every program that a test starts compiles all that it imports again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test hostile storm test-onnx test-lerobot test-ray lint docs bench bench-gpu tutorial node dist wheels-test setup clean

demo: $(READY)  ## collect, train, guide, evaluate and report a real task, in minutes
	$(BIN)/qgf demo

test: $(READY)  ## every test
	$(BIN)/python -m pytest
	tutorial/check.sh

hostile: $(READY)  ## hostile files: 5,000 changes of every kind of artefact, a table of what reading them did
	cd tests && ../$(BIN)/python -m hostile --inputs 5000

test-onnx: $(READY)  ## ONNX export, with the many packages that it takes
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[onnx]'
	$(BIN)/python -m pytest -n 0 tests/deployment/test_onnx.py

test-lerobot: .venv-lerobot/.ready  ## LeRobot's own policies, guided, in an environment of its own (8 GB, Python 3.12 or newer)
	HF_HUB_OFFLINE=1 .venv-lerobot/bin/python -m pytest -o addopts= --noconftest -q tests/lerobot

NEW = $(1) -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1
NEWER ?= $(firstword $(foreach python,python3.12 python3.13 python3 $(wildcard $(HOME)/.pyenv/versions/3.12.*/bin/python),\
  $(shell $(call NEW,$(python)) && echo $(python))))

# torchcodec fails where FFmpeg is not installed, and LeRobot reads pictures without it.
.venv-lerobot/.ready: pyproject.toml constraints-lerobot.txt
	@$(call NEW,"$(NEWER)") || { echo "Python 3.12 or newer is needed: make test-lerobot NEWER=/path/to/python3.12"; exit 1; }
	test -d .venv-lerobot || $(NEWER) -m venv .venv-lerobot
	.venv-lerobot/bin/pip install --quiet --no-compile --constraint constraints-lerobot.txt --editable '.[lerobot,tensorboard]' \
	  'lerobot[smolvla,pi,multi-task-dit,training,evaluation,pusht]' metaworld packaging pytest
	.venv-lerobot/bin/pip uninstall --quiet --yes torchcodec
	@touch $@

test-ray: $(READY)  ## studies on a Ray cluster of two machines on this one, of which one is lost
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[ray]'
	$(BIN)/python -m pytest -n 0 tests/laboratory/on_ray.py

lint: $(READY)  ## style, types, and which room imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(DOCS)  ## the documentation as a site, strictly: site/index.html
	@test -f $(PAGE) || $(MAKE) -s tutorial || echo "The site goes without the tutorial."
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "wrote site/index.html; to write pages, $(BIN)/mkdocs serve"

storm: $(READY)  ## kill every command at each of its file operations: half an hour
	cd tests && ../$(BIN)/python -m storm

bench: $(READY)  ## speed of training and of acting
	$(BIN)/python benchmarks/train_speed.py
	$(BIN)/python benchmarks/latency.py

bench-gpu: .venv-gpu/.ready  ## speed on this machine's GPU, below ten minutes, in an environment of its own: gpu.md
	XLA_PYTHON_CLIENT_PREALLOCATE=false .venv-gpu/bin/python benchmarks/gpu.py --out gpu.md

.venv-gpu/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/pip install --quiet --constraint constraints.txt --editable '.[cuda]'
	@touch $@

tutorial: node $(MODULES)  ## build the interactive tutorial into the package: `qgf tutorial` shows it
	cd tutorial && npm run -s build
	cp tutorial/dist/index.html $(PAGE)

node:
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' \
	  2>/dev/null || { echo "The tutorial needs Node 20.19 or newer: install nodejs and npm, then run make tutorial"; exit 1; }

$(MODULES): tutorial/package-lock.json | node
	cd tutorial && npm ci --no-audit --no-fund
	@touch $@

dist: $(READY) tutorial  ## sdist and wheel, which hold the tutorial: dist/
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	@$(BIN)/python -m zipfile -l dist/*.whl | grep -q $(notdir $(PAGE)) || { echo "dist/*.whl: holds no tutorial"; exit 1; }

wheels-test:  ## try the wheel in clean environments of every Python from 3.11 to 3.13 that is here
	@ls dist/*.whl >/dev/null 2>&1 || $(MAKE) dist
	.ci/wheels dist/*.whl

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(call fits,"$(PYTHON)") || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[ogbench,dev]'
	@$(BIN)/python -W ignore -c 'import ogbench' 2>/dev/null || \
	  $(BIN)/pip install --quiet --no-compile --constraint constraints.txt --no-deps ogbench dm_control  # Python 3.13: see pyproject.toml
	@touch $@

$(DOCS): $(READY)
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) runs build dist site tutorial/node_modules tutorial/dist $(PAGE)
