# make demo   sounds with planted wrong labels → tagger, report and scores, in demo-run/
# make test   the test suite, in about nine minutes on two cores; make test-fast leaves out the slow tests
# Each sets up .venv by itself; only Python (3.11 or newer) and make are needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-fast lint clean

demo: $(VENV)/installed
	$(BIN)/earmark demo --out demo-run

test: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist loadfile

test-fast: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist loadfile -m 'not slow'

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo-run build src/*.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[train,serve,dev]'
	touch $@
