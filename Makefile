# The two main commands are `make run` (from nothing to labels in SQL) and `make test` (all checks and tests).
# They need only make and Python 3.11, 3.12 or 3.13. Both first build the environment in .venv from the locked requirements.

SHELL  := /bin/bash
# The first of these that runs
PYTHON ?= $(firstword $(foreach number,11 12 13,$(shell python3.$(number) -c 'import sys; print(sys.executable)' 2>/dev/null)))
BIN    := .venv/bin
# Where torch comes from. On Linux the index of Python has the build for NVIDIA GPUs only, with 2.4 GB of CUDA libraries, so a machine
# without a GPU takes the build for CPUs from the index of PyTorch. "default" is the index that pip is configured for.
HAS_GPU      = $(shell nvidia-smi -L 2>/dev/null)
TORCH_INDEX ?= $(if $(HAS_GPU)$(filter-out Linux,$(shell uname -s)),default,https://download.pytorch.org/whl/cpu)
TORCH        = $(shell grep '^torch==' requirements.txt)
UV_VERSION  := 0.13.9
# One more than there are cores, because tests that wait for Airflow leave theirs idle.
TEST_PROCESSES ?= $(shell expr $$(nproc) + 1)
# uv does not read pip's settings. It gets pip's folders of wheels and pip's index, unless its own are set.
# Without compiled libraries, every task of Airflow would compile them again where PYTHONDONTWRITEBYTECODE is set: 4 s.
export UV_COMPILE_BYTECODE := 1
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
ifndef UV_INDEX_URL
.venv/run .venv/test .venv-bi/done lock: export UV_DEFAULT_INDEX ?= \
    $(or $(PIP_INDEX_URL),$(shell $(BIN)/pip config get global.index-url 2>/dev/null))
endif

# For every Python that the project supports, from the oldest on
COMPILE := $(BIN)/uv --config-file local/lock.toml pip compile --quiet --no-header --no-annotate --universal --python-version 3.11
SBOM    := PYTHONWARNINGS=ignore $(BIN)/uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py requirements --pyproject pyproject.toml

.PHONY: help run up bi secrets stack faults test check bench lock sbom reset

help: ## print this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.venv/uv:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo \
	    "Python 3.11, 3.12 or 3.13 is needed, and $(if $(PYTHON),$(PYTHON) is another one,none is in the PATH). Debian 13: apt install python3.13-venv." \
	    "Ubuntu 24.04: apt install python3.12-venv. macOS: brew install python@3.13. Or name one: make PYTHON=/path/to/python3.13" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet uv==$(UV_VERSION)
	@touch $@

# A wheel in a folder that pip is told of (PIP_FIND_LINKS) comes first: no index is asked.
.venv/run: .venv/uv requirements.txt pyproject.toml
	@echo "The first time, packages are installed into .venv: a download of" \
	    "$(if $(filter Linux-default,$(shell uname -s)-$(TORCH_INDEX)),3 GB with CUDA for NVIDIA GPUs (6 GB on disk),0.5 GB (2.2 GB on disk)), one minute or more."
	@$(BIN)/pip install --quiet --no-deps --no-index $(TORCH) 2> /dev/null \
	    || $(BIN)/pip install --no-deps $(if $(filter-out default,$(TORCH_INDEX)),--index-url $(TORCH_INDEX)) $(TORCH) || { echo \
	    "torch could not be installed: see above. TORCH_INDEX=https://… names a mirror of $(TORCH_INDEX);" \
	    "TORCH_INDEX=default takes it from the index that pip is configured for, with CUDA on Linux." >&2; exit 1; }
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

.venv/test: .venv/run requirements-dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements-dev.txt
	@touch $@

.venv-bi/done: .venv/uv requirements-bi.txt
	@echo "Superset comes into an environment of its own, .venv-bi: a download of about 250 MB, 800 MB on disk."
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-bi
	$(BIN)/uv pip install --quiet --python .venv-bi/bin/python --require-hashes --requirement requirements-bi.txt
	@touch $@

lock: .venv/uv ## compile the five files of locked requirements from pyproject.toml
	$(COMPILE) --upgrade-package torch --extra worker pyproject.toml --output-file requirements.txt
	# "torch==2.13.0+cpu" would exclude the CUDA build on a machine with a GPU
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements.txt
	$(COMPILE) --generate-hashes --constraint requirements.txt pyproject.toml --output-file requirements-control.txt
	# torch is not in it: its hashes depend on the index (TORCH_INDEX)
	$(COMPILE) --generate-hashes --no-emit-package torch --constraint requirements.txt --extra worker pyproject.toml \
	    --output-file requirements-worker.txt
	$(COMPILE) --generate-hashes --group bi --output-file requirements-bi.txt
	$(COMPILE) --group dev --constraint requirements.txt --output-file requirements-dev.txt

sbom: .venv/uv ## write the packages of both images as CycloneDX (var/sbom-control.json, var/sbom-worker.json)
	mkdir -p var
	$(SBOM) requirements-control.txt --output-file var/sbom-control.json
	$(SBOM) requirements.txt --output-file var/sbom-worker.json

run: .venv/run ## from nothing to labels in SQL, through Airflow (REVIEWS=file TEXT=column LABEL=column BASE=model MINUTES=budget)
	@$(BIN)/python -m local.demo --base "$(or $(BASE),scratch:tiny)" \
	    $(if $(REVIEWS),--reviews "$(REVIEWS)") $(if $(TEXT),--text "$(TEXT)") $(if $(LABEL),--label "$(LABEL)") $(if $(MINUTES),--minutes "$(MINUTES)")

up: .venv/run ## Airflow with its UI, on the same warehouse
	@SENTI_HOME="$(CURDIR)" $(BIN)/senti migrate
	@$(BIN)/python -m local.up

bi: .venv/run .venv-bi/done ## a dashboard for analysts in Superset, on the same warehouse
	@SENTI_HOME="$(CURDIR)" $(BIN)/senti migrate
	@$(BIN)/python -m local.bi

secrets: ## write .env with new secrets, for docker-compose.yml and `make stack`; what is set stays
	@$(PYTHON) local/make_secrets.py

stack: .venv/test secrets ## the services of docker-compose.yml without Docker, in the foreground
	@$(BIN)/python -m local.stack

faults: .venv/test ## kill and starve each service of that stack, and run whole benchmarks; takes about 45 minutes
	SENTI_FAULTS=1 $(BIN)/pytest tests/faults/stack tests/unit/test_benchmarks.py

test: check ## all checks and tests, in several processes (`.venv/bin/pytest` runs all tests in one)
	$(BIN)/pytest --numprocesses=$(TEST_PROCESSES) --dist=loadfile --no-loadscope-reorder # the slow ones, of Airflow, come first

# The processes share the cores, and threads of torch that wait for each other waste them.
test: export OMP_NUM_THREADS ?= 1

bench: .venv/test ## measure scoring and training on this machine, beside alternatives (docs/performance.md)
	$(BIN)/python -m benchmarks

check: .venv/test ## formatting, lint, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

reset: ## delete the embedded warehouse, its models and Airflow's home (var/)
	rm -rf var
