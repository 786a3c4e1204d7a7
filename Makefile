# Needs Python 3.11 or newer and make; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)

.PHONY: setup train test test-long lint types check bench components mutants goldens clean

setup: $(VENV)/ready

# torch first, and by its pin: as a dependency with an open range it would bring the CUDA build, gigabytes of it
$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "interalia needs Python 3.11 or newer; try make PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

train: setup
	$(BIN)/interalia train

# one process a core, each of one thread and under 2 GB; an idle process takes tests over from a busy one
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

test: setup
	$(PYTEST)

test-long: setup
	$(PYTEST) -m long --timeout 3600

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

check: lint types test

bench: setup
	$(BIN)/python benchmarks/bench.py

# Takes hours; see the docstring of benchmarks/mutants.py. Tests are improved on the mutants of seed 2026; the figure is of 2027
SEED ?= 2027
JOBS ?= 1
mutants: setup
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[mutants]'
	OMP_NUM_THREADS=1 nice $(BIN)/python benchmarks/mutants.py --seed $(SEED) --jobs $(JOBS) --write docs/mutants.md

# the generated page docs/components.md
components: setup
	$(BIN)/python docs/components.py

# the expected values of tests marked `golden`
goldens: setup
	OMP_NUM_THREADS=1 $(BIN)/python tests/golden/curves.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
