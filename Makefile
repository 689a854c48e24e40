# make train     set everything up in .venv and train the default network of README.md on CIFAR-10
# make test      set everything up in .venv and run the tests
# make docs      build the site, the chapters of the tour run for it: build/docs/html/index.html
# make pages     the same without running the chapters: half a minute, for who writes another page
# make tour      the same as make docs; tells where the chapters are
# make readme-pictures  the same, and copy the pictures of the tour that other pages show to docs/
# make test-arm  run the kernel tests for 64-bit ARM (NEON) under qemu; Debian on x86-64, see tests/run_on_arm.sh
# make test-windows  build the C core for Windows and try it under Wine; Debian, see tests/run_on_windows.sh
# make nightly   the long tests in full: 20,000 drawn configurations, 50 kills
# make sanitize  the kernel tests under AddressSanitizer and UBSan, see tests/run_sanitized.sh
# make valgrind  some of them under valgrind, see tests/run_valgrind.sh
# make bench     run the benchmarks, with the peers that are installed; figures go to build/bench/*.json
# make lint      ruff, cython-lint, mypy
# make clean     remove what was built, .venv included
#
# Variables: PYTHON (python3), STEPS and ARGS for the training, as in
#   make train STEPS=2000 ARGS="--data-dir ~/cifar-10-batches-bin --net plain"

PYTHON ?= python3
STEPS ?= 15000
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
SOURCES := setup.py $(wildcard csrc/*) $(wildcard npcnn/kernels/*.pyx npcnn/kernels/*.pxd)

.PHONY: train test docs pages tour readme-pictures test-arm test-windows nightly sanitize valgrind bench lint clean

train: $(VENV)/built
	$(BIN)/python examples/train_cifar.py --steps $(STEPS) $(ARGS)

test: $(VENV)/built
	$(BIN)/python -m pytest -q

SPHINX := -m sphinx -W --keep-going -q -E -b html

docs: $(VENV)/built
	rm -rf build/docs
	$(BIN)/python $(SPHINX) docs build/docs/html
	@echo "open build/docs/html/index.html"

pages: $(VENV)/built
	rm -rf build/pages
	$(BIN)/python $(SPHINX) -D nb_execution_mode=off docs build/pages/html
	@echo "open build/pages/html/index.html; the cells of the tour were not run"

tour: docs
	@echo "the tour: build/docs/html/tour/index.html; the chapters as notebooks are in build/docs/jupyter_execute/tour"

readme-pictures: tour
	$(BIN)/python docs/tour/readme_pictures.py

test-arm: $(VENV)/installed
	PYTHON=$(BIN)/python tests/run_on_arm.sh

test-windows:
	PYTHON=$(PYTHON) tests/run_on_windows.sh

nightly: $(VENV)/built
	$(BIN)/python -m pytest -q --nightly

sanitize: $(VENV)/installed
	PYTHON=$(BIN)/python tests/run_sanitized.sh

valgrind: $(VENV)/built
	PYTHON=$(BIN)/python tests/run_valgrind.sh

bench: $(VENV)/built
	$(BIN)/python benchmarks/ops.py --json build/bench/ops.json
	$(BIN)/python benchmarks/ladder.py --json build/bench/ladder.json
	$(BIN)/python benchmarks/scaling.py --json build/bench/scaling.json
	$(BIN)/python benchmarks/memory.py --json build/bench/memory.json
	$(BIN)/python benchmarks/ranks.py --json build/bench/ranks.json
	for net in separable plain multichannel; do \
	    $(BIN)/python benchmarks/step_time.py --net $$net --json build/bench/step_time_$$net.json || exit 1; \
	done

lint: $(VENV)/built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint npcnn/kernels
	$(BIN)/mypy
	$(BIN)/mypy --platform win32

# The only step that needs the network.  The build tools go in first, so that every later build is done offline.
$(VENV)/installed: pyproject.toml
	@echo "npcnn: setting up $(VENV) (once; this downloads NumPy and the tools, and compiles the kernels)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip "setuptools>=77.0.1" "cython>=3.1"
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --no-build-isolation --editable ".[dev]"
	@echo "npcnn: use $(BIN)/python from here on, or activate it: . $(BIN)/activate"
	touch $@

$(VENV)/built: $(VENV)/installed $(SOURCES)
	$(BIN)/python setup.py --quiet build_ext --inplace
	touch $@

clean:
	rm -rf $(VENV) .arm64 build dist *.egg-info npcnn/kernels/*.c npcnn/kernels/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
