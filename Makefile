# Every target does all of its own set-up: a virtual environment in .venv, made once and reused.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# OpenCV 5 no longer reads Caffe networks. The tests hold ours against the last one that does.
OPENCV4 := opencv-python-headless==4.14.0.94

.PHONY: demo test slow lint check clean

demo: .venv/ready  ## train a detector on the embedded data, evaluate it, show what it finds
	$(BIN)/scratchdet demo

test: .venv/ready-dev  ## the tests, in a few minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4

slow: .venv/ready-dev  ## the tests that take longer
	$(BIN)/python -m pytest -m slow

lint: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test  ## what has to pass before a commit

clean:  ## the environment and what tools leave behind; runs/ stays
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || \
		{ echo "Python 3.11.4 or newer is needed; say which one: make PYTHON=python3.12 ..."; exit 1; }
	@echo "setting up .venv (several gigabytes with PyTorch; minutes, once)"
	$(PYTHON) -m venv .venv
	$(INSTALL) -e '.[demo]'
	@touch $@

.venv/ready-dev: .venv/ready .venv/opencv4
	$(INSTALL) -e '.[dev]'
	@touch $@

.venv/opencv4: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $@ $(OPENCV4)
	@touch $@
