# Each target makes .venv and installs what it needs. With uv: `uv run make test` works as well.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
NODE_TOOLS := tests/node/node_modules
FRAMEWORKS := build/frameworks
REQUIREMENTS := tests/frameworks/requirements

.PHONY: demo test lint wheel bench tokens conformance journeys ui bundle frameworks faults docs docs-check clean

demo: $(VENV)/.installed
	@KIE_OUTPUT_DIR="$(CURDIR)/videos" $(BIN)/kie-runway-mcp demo

test: $(VENV)/.tested
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal --ignore tests/journeys --ignore tests/ui --ignore tests/bundle --ignore tests/frameworks --ignore tests/faults --ignore tests/obedient --ignore tests/readers
	$(BIN)/python -m pytest tests/obedient

lint: $(VENV)/.tested
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright

# The wheel as a user gets it: built, installed into an environment of its own, and driven.
wheel: $(VENV)/.installed
	rm -rf build/wheel
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip install --quiet "$$(ls build/wheel/*.whl)[sandbox]"
	cd build/wheel && KIE_HOME=home ./venv/bin/kie-runway-mcp demo
	test "$$(ls build/wheel/home/sandbox/videos/*.mp4 | wc -l)" -eq 3

# The official conformance suite, both protocol revisions.
conformance: $(VENV)/.tested $(NODE_TOOLS)/.installed
	$(BIN)/python -m tests.conformance.run

# The whole journey through the TypeScript SDK's client and the Inspector.
journeys: $(VENV)/.tested $(NODE_TOOLS)/.installed
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile tests/journeys

# The card in a real Chromium, in a host page around the official AppBridge. With UPDATE_IMAGES=1
# the pictures in docs/images/ are taken anew; otherwise they have to be today's.
ui: $(VENV)/.tested $(NODE_TOOLS)/.installed
	$(NODE_TOOLS)/.bin/tsc --project tests/ui
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal tests/ui

# dist/kie-runway-mcp.mcpb for Claude Desktop: built, unpacked, started with uv and driven.
bundle: $(VENV)/.tested $(NODE_TOOLS)/.installed
	$(BIN)/python packaging/build_bundle.py
	$(BIN)/python -m pytest tests/bundle

# The examples, each with its framework in an environment of its own, for they exclude each other.
frameworks: $(VENV)/.tested $(FRAMEWORKS)/ai-sdk/.installed \
		$(patsubst $(REQUIREMENTS)/%.txt,$(FRAMEWORKS)/%/.installed,$(wildcard $(REQUIREMENTS)/*.txt))
	$(BIN)/python -m pytest tests/frameworks

# Proves the referee, then lets everything go wrong and rewrites docs/reliability.md: under 25
# minutes on two cores.
faults: $(VENV)/.tested
	$(BIN)/python -m pytest tests/faults
	$(BIN)/python -m tests.faults $(FAULTS_OPTIONS)

bench: $(VENV)/.tested $(NODE_TOOLS)/.installed
	$(BIN)/python -m tests.bench $(BENCH_OPTIONS)

# What a model pays for tools, results and a journey; fails above a target, rewrites docs/comparison.md.
tokens: $(VENV)/.tested $(NODE_TOOLS)/.installed
	$(BIN)/python -m tests.bench --tokens

# Rewrites the generated tables in docs/ and the schema snapshots; `make test` checks them.
docs: $(VENV)/.tested
	UPDATE_SCHEMAS=1 UPDATE_DOCS=1 $(BIN)/python -m pytest -q tests/docs/test_generated.py tests/packaging tests/tools/test_catalog.py

# What the pages name and link to, and every command on them, run as a reader would.
docs-check: $(VENV)/.tested
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal tests/docs tests/readers

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[sandbox,media]'
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

$(NODE_TOOLS)/.installed: tests/node/package.json
	npm install --prefix tests/node --no-audit --no-fund --no-package-lock --loglevel=error
	@touch $@

$(FRAMEWORKS)/ai-sdk/.installed: $(REQUIREMENTS)/package.json
	mkdir -p $(@D)
	cp $< $(@D)
	npm install --prefix $(@D) --no-audit --no-fund --no-package-lock --loglevel=error
	@touch $@

$(FRAMEWORKS)/%/.installed: $(REQUIREMENTS)/%.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --requirement $<
	@touch $@

clean:
	rm -rf $(VENV) $(NODE_TOOLS) build dist videos
