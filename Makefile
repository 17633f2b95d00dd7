PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet

QUICK = tests/test_layers.py tests/test_public_api.py \
	tests/fastsr/test_images.py tests/fastsr/test_resize.py tests/fastsr/test_metrics.py tests/fastsr/test_consistency.py \
	tests/fastsr/dip/test_network.py tests/fastsr/srgan/test_network.py \
	tests/kernels/test_axis_table.py tests/kernels/test_upsample_blur.py

.PHONY: demo test quick lint docs public-api dist clean

# torch comes first: its pinned version decides which of its own dependencies are needed.
$(VENV)/ready: setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt torch
	$(PIP) --constraint constraints.txt --editable '.[test,lint,release]'
	touch $@

demo: $(VENV)/ready  ## super-resolve a picture that ships with scikit-image; the results go to demo/
	$(VENV)/bin/python -m benchmarks.demo

# A process for each core, and one thread in each: with more threads than cores each waits for the others.
test: $(VENV)/ready  ## every test; set FASTSR_DATA to run those that need the benchmark pictures
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --numprocesses auto --dist worksteal

quick: $(VENV)/ready  ## the core in less than a minute: files, resizing, metrics, operations, the public interface
	OMP_NUM_THREADS=1 FASTSR_DATA= $(VENV)/bin/python -m pytest --numprocesses auto --dist worksteal $(QUICK)

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(VENV)/ready-docs: $(VENV)/ready
	$(PIP) --constraint constraints.txt --editable '.[docs]'
	touch $@

# Material prints a note on the future of MkDocs, which says nothing of these pages.
docs: $(VENV)/ready-docs  ## the site, to build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build

public-api: $(VENV)/ready  ## the snapshot of the public interface, for a change that is meant
	$(VENV)/bin/python -I tests/public_api.py --write

dist: $(VENV)/ready  ## the sdist, and the wheel made of it, checked; they go to dist/
	rm -rf dist build/lib
	$(VENV)/bin/python -m build --quiet --outdir dist .
	$(VENV)/bin/twine check --strict dist/*
	$(VENV)/bin/check-wheel-contents dist/*.whl

clean:
	rm -rf $(VENV) build dist demo *.egg-info
