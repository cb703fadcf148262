# Every target makes the environment it needs; `make help` lists them.
PYTHON ?= python3
BACKEND ?= memory
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.locked
# Some images set it. The tests start the command hundreds of times, which takes twice as long
# where its modules are compiled anew each time.
export PYTHONDONTWRITEBYTECODE :=
# Half as many again as there are cores: many tests wait, for servers and for time to pass.
WORKERS := $(shell expr \( $$(getconf _NPROCESSORS_ONLN) \* 3 + 1 \) / 2)
# What one runs after each change: all that needs no Debian package and takes no seconds.
FAST := -n $(WORKERS) --dist worksteal -m "not real and not slow" --hypothesis-profile fast
LOWEST := $(VENV)-lowest
NEWEST := $(VENV)-newest

.DEFAULT_GOAL := help
.PHONY: help env demo packages test test-fast test-lowest test-newest fuzz bench lint fmt image-lint image screenshots schema dashboards lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with make PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || test "$$(id -u)" != 0 || \
	  apt-get install -qq --yes python3-venv >/dev/null 2>&1 || true
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "Missing: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || \
	  { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); }
	@echo "Installing what requirements/dev.lock names into $(VENV) ..."
	@# The lock is complete, so pip resolves nothing: its resolver may ask for the newest release
	@# of a package named with an extra, which the lock does not hold. `pip check` tells a gap.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip --disable-pip-version-check check
	@touch $@

env: $(STAMP) ## make the environment from the lock file

demo: $(STAMP) ## stand-in panels and the daemon over them (BACKEND=exim: real Exim spools)
	@$(BIN)/brainycp-exporter demo --backend $(BACKEND)

packages: $(STAMP) ## install the Debian packages that the tests run
	@$(BIN)/python tests/ensure_packages.py

test: $(STAMP) packages ## every test, with real Exim, clamd, spamd and Prometheus
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report= $(ARGS)
	@$(BIN)/coverage report --fail-under=95

test-fast: $(STAMP) ## tests that need no Debian package and are not slow, with few generated examples
	@$(BIN)/python -m pytest $(FAST) $(ARGS)

test-lowest: $(STAMP) ## the same against the lowest versions that pyproject.toml allows
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	@$(BIN)/uv pip compile --quiet --resolution lowest-direct --python-version 3.11 --no-header --extra apprise pyproject.toml -o $(LOWEST)/lowest.txt
	@$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python -r $(LOWEST)/lowest.txt --group dev -e .
	@$(LOWEST)/bin/python -m pytest $(FAST) $(ARGS)

test-newest: $(STAMP) ## the same on the newest Python that uv can bring, or finds
	@newest=$$(sh tests/newest_python.sh $(BIN)/uv); \
	if [ -z "$$newest" ]; then echo "No newer Python: uv can bring none, and none is installed."; exit; fi; \
	$(BIN)/uv venv --quiet --clear --python "$$newest" $(NEWEST) && \
	$(BIN)/uv pip install --quiet --python $(NEWEST)/bin/python --no-deps --require-hashes -r requirements/dev.lock && \
	$(BIN)/uv pip install --quiet --python $(NEWEST)/bin/python --no-deps --no-build-isolation -e . && \
	$(NEWEST)/bin/python -m pytest $(FAST) $(ARGS)

fuzz: $(STAMP) ## 200,000 known queues, then as many hostile replies, against the decoders
	@$(BIN)/python -m tests.fuzz.fuzz_truth --inputs 200000 $(ARGS)
	@$(BIN)/python -m tests.fuzz.fuzz_decode --inputs 200000 $(ARGS)

bench: $(STAMP) packages ## measure; writes BENCHMARKS.md
	@$(BIN)/python -m bench

lint: $(STAMP) image-lint ## ruff, mypy, Dockerfile
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

fmt: $(STAMP) ## format the code and mend what ruff can
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

image-lint: $(STAMP)
	@$(BIN)/hadolint Dockerfile

image: image-lint ## lint the Dockerfile, and build it when an engine is there
	@engine=$$(for e in docker podman; do $$e info >/dev/null 2>&1 && echo $$e && break; done); \
	if [ -n "$$engine" ]; then $$engine build -t brainycp-exporter .; \
	else echo "Dockerfile: no finding. Not built: neither docker nor podman runs here."; fi

screenshots: $(STAMP) packages ## take docs/screenshots anew from the demo
	@$(BIN)/python -m tests.screenshots

schema: $(STAMP) ## write config.schema.json anew from the config's model
	@$(BIN)/python -m exporter.config.schema > config.schema.json

dashboards: $(STAMP) ## write dashboards/*.json anew from dashboards/source
	@$(BIN)/python -m dashboards.build

lock: $(STAMP) ## resolve the dependencies anew into requirements/*.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade pyproject.toml -o requirements/runtime.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade --group dev -c requirements/runtime.lock pyproject.toml -o requirements/dev.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade --group build -c requirements/dev.lock -o requirements/build.lock

clean: ## remove the environment and what the tools cache
	rm -rf $(VENV) $(LOWEST) $(NEWEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
