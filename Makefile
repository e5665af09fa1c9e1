# The two main commands are `make run` (from nothing to labels in SQL) and `make test` (all checks and tests).
# They need only Python 3.11 and make. Both first build the environment in .venv from the locked requirements.

SHELL  := /bin/bash
PYTHON ?= python3.11
BIN    := .venv/bin
# By default pip takes torch from the index that it is configured for. Without a GPU,
# TORCH_INDEX=https://download.pytorch.org/whl/cpu saves 3 GB of CUDA libraries.
TORCH_INDEX ?=
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

COMPILE := $(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11
SBOM    := PYTHONWARNINGS=ignore $(BIN)/uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py requirements --pyproject pyproject.toml

.PHONY: help run up bi secrets stack faults test check bench lock sbom reset

help: ## print this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.venv/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet uv==$(UV_VERSION)
	@touch $@

.venv/run: .venv/uv requirements.txt pyproject.toml
	$(BIN)/pip install --quiet --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep '^torch==' requirements.txt)"
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
