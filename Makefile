PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo test lint clean

# torch comes first: its pinned version decides which of its own dependencies are needed.
$(VENV)/ready: setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt torch
	$(PIP) --constraint constraints.txt --editable '.[test,lint]'
	touch $@

demo: $(VENV)/ready  ## super-resolve a picture that ships with scikit-image; the results go to demo/
	$(VENV)/bin/python -m benchmarks.demo

# A process for each core, and one thread in each: with more threads than cores each waits for the others.
test: $(VENV)/ready  ## every test; set FASTSR_DATA to run those that need the benchmark pictures
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --numprocesses auto --dist worksteal

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) build dist demo *.egg-info
