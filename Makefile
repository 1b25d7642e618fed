# The two commands of the README are `make demo` and `make test`; CONTRIBUTING.md tells of the others.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGUMENTS ?=

# Where it is set, each of the hundreds of processes that a demo or the tests start would compile all of pcg anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check format venv bench soak dist clean

demo: venv
	$(BIN)/pcg demo $(DEMO_ARGUMENTS)

test: $(VENV)/.test
	scripts/prepare-tests
	$(BIN)/python -m pytest -n 5 --dist worksteal $(PYTEST_ARGUMENTS)

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

soak: $(VENV)/.test
	scripts/prepare-tests
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]' || echo "no atheris here" >&2
	PCG_SOAK=1 $(BIN)/python -m pytest -m soak -n 0 $(PYTEST_ARGUMENTS)

bench: $(VENV)/.test
	scripts/prepare-tests
	for file in bench/bench_*.py; do $(BIN)/python $$file || exit 1; done

# One file for a machine without internet (docs/deploy.md).
dist: venv
	$(BIN)/python scripts/make-dist

venv: $(VENV)/.installed

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pcg needs Python 3.11 or newer, this is %d.%d" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)

# Both stamps follow pyproject.toml: a changed dependency is installed by the next command.
$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache
