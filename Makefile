# Two commands do everything from a fresh clone: `make demo` and `make test`. They need Python >= 3.11 and make.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(CURDIR)/$(VENV)/bin
DEMO   ?= demo

# Threads that spin long while they wait starve other programs; those that sleep at once are slow to wake.
export GOMP_SPINCOUNT ?= 10000

.DEFAULT_GOAL := help
.PHONY: help install demo test slow lint format docs bench clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | column -t -s '|'

install: $(VENV)/.installed  ## create .venv and install the packages with the tested versions

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "skeltools needs Python 3.11 or newer; found $$($(PYTHON) --version). Try: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cloud,dev,docs,onnx,plots,tensorboard]'
	@touch $@

demo: install  ## raw files -> store -> MS-CLR -> evaluation -> report, on the built-in data
	mkdir -p $(DEMO)
	cd $(DEMO) && $(BIN)/skeltools demo raw/
	cd $(DEMO) && $(BIN)/skeltools convert ntu60 --out store.zarr --workers 2 --force
	cd $(DEMO) && $(BIN)/skeltools streams --bone --motion
	cd $(DEMO) && $(BIN)/trainer pretrain --store store.zarr --method ms-clr --split xview --force
	cd $(DEMO) && $(BIN)/trainer evaluate runs/ms-clr --protocol knn --protocol linear
	cd $(DEMO) && $(BIN)/trainer report runs/ms-clr

test: install  ## the tests, but for those of the next line
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

slow: install  ## the tests that are marked slow or listed in tests/slow.txt
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m slow

lint: install  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install  ## apply ruff's fixes and layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install  ## the documentation as a site in build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: install  ## speed of the reader against a plain one, on this machine
	$(BIN)/python -m benchmarks.reading

clean:  ## remove the environment and everything the demo made
	rm -rf $(VENV) $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
