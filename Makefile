# The two commands of the README, and what CI and pre-commit call.
# All set-up happens here, in an environment of the repository's own (.venv).
PYTHON ?= python3
BACKENDS ?= tensorflow jax
# The release that is tested. PyPI's build for Linux brings CUDA, some gigabytes; for a
# CPU alone: make test TORCH="torch --index-url <PyTorch's index of CPU builds>".
TORCH ?= torch==2.13.0

BIN := .venv/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3

# glibc gives back what TensorFlow frees in every step; on virtual machines the page faults
# that follow can take longer than the training.
KEEP := MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=8000000000

# Tests run side by side, a file at a time: its fixtures are made once. In their own order:
# xdist would leave the files with few tests, which take longest, for the end.
PROCESSES ?= --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help demo test tutorials notebooks lab docs docs-serve package lint format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo                      STT against MultiHeadAttention on scenes (10 minutes)"
	@echo "make test                      the tests, on BACKENDS=\"$(BACKENDS)\""
	@echo "make tutorials                 runs the notebooks of the course, quickly; FULL=1: in full"
	@echo "make notebooks                 makes the notebooks from tutorials/src"
	@echo "make lab                       opens the course in JupyterLab"
	@echo "make docs                      builds the site into site/; make docs-serve shows it"
	@echo "make lint                      ruff, mypy, and the workflows of GitHub"
	@echo "make package                   wheel and sdist, tried with each of BACKENDS"
	@echo "make format                    ruff, with its fixes"

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	@echo "Installing Keras, TensorFlow, JAX and tools into .venv; this takes minutes."
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@

.venv/installed-torch: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	@touch $@

demo: .venv/installed
	@mkdir -p runs/tensorflow_datasets
	$(KEEP) KERAS_BACKEND=tensorflow $(BIN)/keras-stt compare classify --dataset scenes \
	  --data-dir runs/tensorflow_datasets --output runs/demo --depth 2 --epochs 6 \
	  --mixers stt-depthwise-synthesized stt-dense mha depthwise-conv-5 none
	$(KEEP) KERAS_BACKEND=tensorflow $(BIN)/keras-stt compare caption --dataset scenes \
	  --data-dir runs/tensorflow_datasets --output runs/demo-captions \
	  --variants stt-dense+stt-dense mha+mha --train-images 5000 --test-images 500 \
	  --epochs 6 --learning-rate 4e-3

# Keras picks its backend once per process, so each backend is a run of its own. What
# needs none (drawing, tables, pictures) is tested with the first.
test: .venv/installed $(if $(filter torch,$(BACKENDS)),.venv/installed-torch)
	@for backend in $(BACKENDS); do \
	  echo "== tests on $$backend"; \
	  KERAS_BACKEND=$$backend $(BIN)/python -m pytest -q $(PROCESSES) $$selected \
	    || exit 1; \
	  if [ $$backend = jax ]; then \
	    echo "== the oracle on jax with XLA's optimisations, as users run it"; \
	    JAX_DISABLE_MOST_OPTIMIZATIONS=0 KERAS_BACKEND=jax \
	      $(BIN)/python -m pytest -q tests/layers/test_stt_oracle.py || exit 1; \
	  fi; \
	  selected="-m not(backend_free)"; \
	done

# Every notebook, with wrong answers to its exercises, on each backend. ONLY="01 07": these.
tutorials: .venv/installed $(if $(filter torch,$(BACKENDS)),.venv/installed-torch)
	$(BIN)/python tutorials/build.py check $(ONLY)
	@for backend in $(BACKENDS); do \
	  KERAS_BACKEND=$$backend $(BIN)/python tutorials/build.py run $(ONLY) \
	    $(if $(FULL),--record,--fast) || exit 1; \
	done

notebooks: .venv/installed
	$(BIN)/python tutorials/build.py write $(ONLY)

lab: .venv/installed
	$(BIN)/jupyter lab tutorials

.venv/installed-docs: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[docs]"
	@touch $@

# Warnings are errors, links that lead nowhere included.
docs: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

docs-serve: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*
	$(BIN)/zizmor --offline --quiet .github

# Wheel and sdist in dist/, and the wheel with each backend in an empty environment.
package: .venv/installed
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	@for backend in $(BACKENDS); do \
	  echo "== the wheel with $$backend in an empty environment"; \
	  rm -rf dist/env && $(PYTHON) -m venv dist/env || exit 1; \
	  if [ $$backend = torch ]; then \
	    dist/env/bin/pip install --quiet --disable-pip-version-check $(TORCH) || exit 1; \
	  fi; \
	  dist/env/bin/pip install --quiet --disable-pip-version-check \
	    "$$(ls dist/*.whl)[$$backend,compare]" || exit 1; \
	  (cd dist && KERAS_BACKEND=$$backend env/bin/python ../tests/smoke.py && \
	    KERAS_BACKEND=$$backend env/bin/keras-stt --version) || exit 1; \
	done
	rm -rf dist/env

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv dist site
