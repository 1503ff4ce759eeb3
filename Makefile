# What a newcomer needs: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: help setup browser demo test bench lint run lock

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: $(STAMP) ## make the virtual environment from the locked requirements

$(STAMP): requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --no-deps --require-hashes -r requirements.txt
	$(BIN)/pip install -q --no-deps --require-hashes -r requirements-dev.txt
	touch $@

browser: # chromium for the browser tests and gettext for the translations' check, where they may be installed
	@command -v chromium >/dev/null && command -v xgettext >/dev/null || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium gettext fonts-noto-cjk >/dev/null; \
	} || echo "chromium or gettext is missing and can't be installed here: their tests are skipped"

test: setup browser ## set up and run all tests
	var=$$(mktemp -d) && trap 'rm -rf "$$var"' EXIT && CONSOLE_VAR=$$var $(BIN)/python -m pytest

bench: setup ## measure against named peers in the same run
	$(BIN)/python -m jobs.quantization.bench
	$(BIN)/python -m jobs.history.bench --jobs $(or $(JOBS),1000000)

lint: setup ## style, types, import contracts, migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy console hardware jobs
	PYTHONPATH=. $(BIN)/lint-imports
	var=$$(mktemp -d) && trap 'rm -rf "$$var"' EXIT && \
		CONSOLE_VAR=$$var $(BIN)/python manage.py makemigrations --check --dry-run

demo: setup ## set up and run the main job on a simulated fleet; ONCE=1 ends when it is done
	$(BIN)/python manage.py demo $(if $(ONCE),--once)

run: setup ## set up and start the console: API on 127.0.0.1:8080, Redis, workers
	$(BIN)/python manage.py up

lock: setup ## resolve pyproject.toml anew into the hashed requirements (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements.txt
	uv pip compile --group encoder --no-deps --universal --python-version 3.11 --generate-hashes --no-header --no-annotate >> requirements.txt
	uv pip compile --group dev -c requirements.txt --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -o requirements-dev.txt
