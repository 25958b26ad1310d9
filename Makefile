# The commands of Munjigi. `make help` lists them.

PORT ?= 8080
VENV := .venv
BIN := $(VENV)/bin
REAL := tests/real_backends
# The first Python that is new enough. Override with PYTHON=.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-backends matrix serve check format bench pictures messages generate lock

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

run: $(VENV)/site ## run the site with development stand-ins, on PORT (8080); BACKEND=djoser: with that backend's protocol
	@$(BIN)/flask run --port $(PORT)

test: $(VENV)/dev ## run the tests that need only Python: about a minute
	@$(BIN)/pytest -n auto --dist loadgroup -m "not browser and not server and not external and not corpus"

test-all: $(VENV)/dev tests/node_modules $(REAL)/.venv/ready $(REAL)/node_modules ## run every test, with Chromium, the production server, Redis, Node.js, proxies and backends
	@$(BIN)/pytest -n auto --dist loadgroup

test-backends: $(VENV)/dev $(addprefix $(REAL)/,.venv/ready node_modules strapi/node_modules firebase/node_modules) ## run the tests with real backends, also those with 1 GB of packages: Strapi, Firebase
	@$(BIN)/pytest -n auto --dist loadgroup tests/compatibility/test_real_backends.py

matrix: ## run the everyday tests on every supported Python that this machine has
	@$(PYTHON) scripts/python_matrix.py $(VERSIONS)

serve: $(VENV)/site ## run the production server; settings come from the environment or .env
	@$(BIN)/python serve.py

check: $(VENV)/dev ## check format, lint, types and imports between packages
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/dev ## format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(VENV)/dev $(if $(QUICK),,bench/next_auth/.next) ## measure speed and memory, and compare with next-auth; QUICK=1: without Node.js
	@$(BIN)/python -m bench $(if $(BESIDE),--beside $(BESIDE))

pictures: $(VENV)/dev ## take the screenshots of the docs again
	@$(BIN)/python -m tests.support.docs_pictures docs/pictures

messages: $(VENV)/dev ## update and compile the translations; NEW=it adds a language
	@$(BIN)/pybabel -q extract -F babel.cfg -k _l --no-location --sort-output -o $(VENV)/messages.pot .
	@$(BIN)/pybabel -q update -i $(VENV)/messages.pot -d translations $(if $(NEW),-l $(NEW) --init-missing) \
		--no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date -w 100
	@$(BIN)/python -m scripts.compile_translations

release-check: export CI := true
release-check: $(VENV)/dev ## check that this commit can be released; runs every check and test
	@$(BIN)/python scripts/release_check.py
	@$(MAKE) check test-all

generate: $(VENV)/dev ## write the parts of .env.example and the docs that follow from providers/ and backends/
	@$(BIN)/python -m scripts.generate
	@$(BIN)/python -m tests.support.backend_pages

lock: ## pin the packages of all requirements*.in (needs uv)
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" requirements.in -o requirements.txt
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" requirements-dev.in -o requirements-dev.txt
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" $(REAL)/requirements.in -o $(REAL)/requirements.txt

$(VENV)/bin/pip:
	@test -n "$(PYTHON)" || { echo "Munjigi needs Python 3.11 or newer: install python3 (Debian: apt install python3 python3-venv)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "This Python has no venv: install it (Debian: apt install python3-venv)"; exit 1; }

$(VENV)/site: requirements.txt | $(VENV)/bin/pip
	@echo "Setting up: the packages of requirements.txt"
	@$(BIN)/pip install -q --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/dev: requirements-dev.txt $(VENV)/site
	@echo "Setting up: the packages of requirements-dev.txt"
	@$(BIN)/pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# The original next-auth, which the session cookie is compared with, and an independent OpenID Connect issuer.
tests/node_modules: tests/package-lock.json
	@if command -v npm >/dev/null 2>&1; then \
		echo "Setting up: the packages of tests/package.json"; npm ci --prefix tests --silent --no-audit --no-fund && touch $@; \
	else echo "npm is not installed: the tests against next-auth and oidc-provider are skipped"; fi

# Backends that the tests sign in at.
$(REAL)/.venv/bin/pip:
	@$(PYTHON) -m venv $(REAL)/.venv

$(REAL)/.venv/ready: $(REAL)/requirements.txt | $(REAL)/.venv/bin/pip
	@echo "Setting up: the packages of $(REAL)/requirements.txt"
	@$(REAL)/.venv/bin/pip install -q --disable-pip-version-check -r $<
	@touch $@

$(REAL)/node_modules: $(REAL)/package-lock.json
	@if command -v npm >/dev/null 2>&1; then \
		echo "Setting up: the packages of $(REAL)/package.json"; npm ci --prefix $(REAL) --silent --no-audit --no-fund && touch $@; \
	else echo "npm is not installed: the tests with better-auth are skipped"; fi

$(REAL)/%/node_modules: $(REAL)/%/package-lock.json
	@echo "Setting up: the packages of $(REAL)/$*/package.json"
	@npm ci --prefix $(REAL)/$* --silent --no-audit --no-fund && touch $@

# next-auth, which `make bench` compares the site with.
bench/next_auth/node_modules: bench/next_auth/package-lock.json
	@if command -v npm >/dev/null 2>&1; then \
		echo "Setting up: the packages of bench/next_auth"; npm ci --prefix bench/next_auth --silent --no-audit --no-fund && touch $@; \
	else echo "npm is not installed: next-auth is skipped"; fi

bench/next_auth/.next: bench/next_auth/node_modules $(wildcard bench/next_auth/*.* bench/next_auth/pages/*.js bench/next_auth/pages/*/*/*.js)
	@if [ -d $< ]; then \
		echo "Building: bench/next_auth"; NEXT_TELEMETRY_DISABLED=1 npm run build --prefix bench/next_auth --silent >/dev/null && touch $@; \
	fi
