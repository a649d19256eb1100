# Every target sets up what it needs; on a fresh machine `make demo` and `make test` are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LIGHT := not ray and not durability and not heavy and not notebooks

.PHONY: venv demo test test-heavy lint bench notebooks clean help

help:
	@echo "venv       virtual environment in .venv with everything installed"
	@echo "demo       the main job on an archive it makes: a picture, a table, the commands to go on"
	@echo "test       the tests"
	@echo "test-heavy the tests that take longer"
	@echo "lint       ruff, mypy, import direction"
	@echo "bench      the benchmarks, as ratios within one run"
	@echo "notebooks  execute the notebooks"

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: venv
	$(BIN)/scaledec demo demo

# Side by side what is light; one after another what starts a Ray cluster or counts on when it kills.
test: venv
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m "$(LIGHT)"
	$(BIN)/python -m pytest -m "not ($(LIGHT)) and not heavy and not notebooks"

test-heavy: venv
	$(BIN)/python -m pytest -m heavy

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/structure

bench: venv
	$(BIN)/python -m benchmarks

notebooks: venv
	$(BIN)/python -m pytest -m notebooks tests/notebooks

clean:
	rm -rf $(VENV) demo
