# Every target works in .venv, which `make install` builds from requirements.lock; nothing else on the machine is needed
# but Python. The same commands run here and in CI.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install lint format test demo bench audit lock clean
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# BentoML and MLflow report usage to their makers unless told not to.
export BENTOML_DO_NOT_TRACK := True
export MLFLOW_DISABLE_TELEMETRY := true

# Tests and demo start many processes; without bytecode kept, each would compile all that it imports, for seconds.
unexport PYTHONDONTWRITEBYTECODE

# Name another interpreter with `make install PYTHON=/path/to/python3.11`. Each candidate is run, not just looked up:
# version managers put commands on the path that only fail.
PYTHON ?=
find_python = for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3) none; do \
	"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; \
	if [ "$$python" = none ]; then \
	echo "Journeycast needs Python 3.11 or newer with its venv module, and found none. Install one, or name it:" \
	"make install PYTHON=/path/to/python3.11" >&2; exit 1; fi

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.project-installed ## Make .venv from the lock (a few minutes, about 3 GB); again: nothing to do

# A changed lock rebuilds .venv, so that nothing older stays behind; the stamps are written last, so a broken
# installation starts again. Python compiles what is imported, when it is: compiling all of it here costs more.
$(VENV)/.lock-installed: requirements.lock
	@$(find_python); echo "Making $(VENV) with $$("$$python" --version)"; "$$python" -m venv --clear $(VENV)
	@echo "Installing the packages of requirements.lock; this takes a few minutes"
	@$(PIP) install --quiet --no-compile --requirement requirements.lock
	@touch $@

$(VENV)/.project-installed: $(VENV)/.lock-installed pyproject.toml
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@$(PIP) check
	@touch $@

lint: install ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: install ## Put imports and layout in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Two processes: 8 min 20 s on two cores. Now that bytecode is kept they take hardly more CPU time than one (712 s; 688 s).
# Larger machines gain from WORKERS=4.
WORKERS ?= 2
# One thread for linear algebra: beside servers and other processes, OpenBLAS's threads wait for each other by spinning.
test: lint ## Check everything and run the tests
	OPENBLAS_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile

demo: install ## Simulate, train, serve, score: the whole way, in one go
	$(BIN)/journeycast demo

bench: install ## Score the five real data sets on their own splits
	$(BIN)/python -m benchmarks

audit: install ## List the packages' licences, and the holes that are known in them
	$(BIN)/pip-licenses --with-system --order=license
	$(BIN)/pip-audit --requirement requirements.lock --no-deps --disable-pip

# Held: newer versions of these come by decision, not by chance (docs/adr/0004-what-the-lock-pins.md).
HELD := bentoml==1.4.39 mlflow==3.17.2 torch==2.13.0
define pins
import json, sys
found = [package["metadata"] for package in json.load(sys.stdin)["install"]]
lines = [f"{package['name']}=={package['version'].split('+')[0]}" for package in found if package["name"] != "journeycast"]
print(*sorted(lines, key=str.lower), sep="\n")
endef
export pins
lock: ## Resolve pyproject.toml anew into requirements.lock
	@$(find_python); "$$python" -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet --dry-run --report build/lock.json '.[serve,train,spark,sql,dev]' $(HELD)
	{ sed -n '/^#/p' requirements.lock; build/lock/bin/python -c "$$pins" < build/lock.json; } > build/requirements.lock
	mv build/requirements.lock requirements.lock

clean: ## Remove caches and build products; .venv stays
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	find features models serving training tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
