# `make demo` and `make test` set themselves up; everything lands in .venv and demo/.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SAMPLES := src/talkingface/samples
PORTRAIT ?= $(SAMPLES)/portrait.jpg
SPEECH ?= $(SAMPLES)/speech.flac
OUT ?= demo/out.mp4

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint clean

help:
	@echo "make demo       animate the sample portrait: $(OUT)"
	@echo "make test       run the tests (test-slow: the slow ones too)"
	@echo "make lint       style, import layers, types"
	@echo "make clean      remove .venv, demo/ and caches"

demo: $(READY)
	@mkdir -p $(dir $(OUT))
	@$(BIN)/talkingface animate "$(PORTRAIT)" "$(SPEECH)" -o "$(OUT)"

test: $(READY)
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-2} $(BIN)/python -m pytest -q -m "not slow and not network and not gpu"

test-slow: $(READY)
	@$(BIN)/python -m pytest -q -m "not network and not gpu"

lint: $(READY)
	@$(BIN)/ruff check src tests scripts benchmarks
	@$(BIN)/ruff format --quiet --check src tests scripts benchmarks
	@PYTHONPATH=src $(BIN)/lint-imports --no-logo
	@$(BIN)/pyright

# The first Python from 3.10 to 3.14 that really runs makes the environment.
$(READY): pyproject.toml scripts/set_up.py
	@for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do \
	  if $$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then \
	    $$python scripts/set_up.py && touch $@ && exit 0 || exit 1; \
	  fi; \
	done; \
	echo "error: no Python from 3.10 to 3.14 found; on Debian or Ubuntu: sudo apt-get install python3 python3-venv" >&2; \
	exit 1

clean:
	rm -rf $(VENV) demo .pytest_cache .ruff_cache .hypothesis .import_linter_cache build src/*.egg-info
