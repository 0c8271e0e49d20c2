# Everything that a person or a pipeline does with this repository. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := .venv-demo
IQM := .venv-iqm

.DEFAULT_GOAL := help
.PHONY: help demo test lint types imports programs test-unit compatibility iqm-client test-integration test-e2e test-ecosystem cluster-up \
	cluster-down docs generate lock snapshots bench clean

help: ## List the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

# One environment each for users and developers; the stamps hold until the locked versions or the metadata change.
define install
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(1)
	$(1)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $(2)
	$(1)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(3)
	touch $@
endef

$(DEMO)/.installed: requirements/demo.txt pyproject.toml
	$(call install,$(DEMO),requirements/demo.txt,-e .)

$(VENV)/.installed: requirements/dev.txt pyproject.toml dev-cloud/pyproject.toml
	$(call install,$(VENV),requirements/dev.txt,-e . -e dev-cloud)

$(IQM)/.installed: requirements/iqm-client.txt
	$(PYTHON) -m venv $(IQM)
	$(IQM)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

demo: $(DEMO)/.installed ## Install what is needed and run two examples without a cluster
	$(DEMO)/bin/qonverge run examples/bell.yaml examples/vqe-h2.yaml

# The type checker has one CPU; the other checks go beside it. The cluster's tests mostly wait for pods, so three
# processes keep two CPUs busy.
test: $(VENV)/.installed ## Run every check; ends with the test runner's summary
	@$(MAKE) --no-print-directory --jobs=2 lint types imports docs programs
	$(BIN)/pytest -n 3 --no-loadscope-reorder tests dev-cloud/tests e2e

lint: $(VENV)/.installed ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed ## Check types
	$(BIN)/mypy
	$(BIN)/mypy conftest.py tests e2e bench
	MYPYPATH=examples/provider-plugin/src $(BIN)/mypy examples/provider-plugin
	MYPYPATH=dev-cloud/src $(BIN)/mypy dev-cloud

imports: $(VENV)/.installed ## Check that imports point downwards
	$(BIN)/lint-imports

# Exit status 3: this machine lacks something. What needs it is left out then and says so, but not with CI=true.
programs: $(VENV)/.installed ## Build Kubernetes and what belongs to it, once, into a cache outside of the tree
	@$(BIN)/python -m e2e.cluster build || { test $$? -eq 3 && test "$(CI)" != true; }

test-unit: $(VENV)/.installed ## Run the unit tests, under a minute
	$(BIN)/pytest tests/unit

compatibility: $(VENV)/.installed ## Try what other SDKs expect, and write docs/compatibility.md
	$(BIN)/pytest tests/compatibility --write-page

iqm-client: $(VENV)/.installed $(IQM)/.installed ## Run unchanged programs of IQM's own client against dev-cloud
	$(BIN)/pytest dev-cloud/tests/test_iqm_client.py

test-integration: programs ## Run the tests against a real API server
	$(BIN)/pytest tests/integration

test-e2e: programs ## Run the tests against a whole cluster: one of its own, or KUBECONFIG's with QONVERGE_IMAGE
	$(BIN)/pytest e2e

test-ecosystem: programs ## Run the tests that are too heavy for every run, and those with KEDA and Kueue
	$(BIN)/pytest -m ecosystem tests/integration e2e

cluster-up: $(VENV)/.installed ## Start a Kubernetes cluster on this machine with Qonverge on it; again after a change
	$(BIN)/python -m e2e.cluster up

cluster-down: $(VENV)/.installed ## End the cluster and remove all that it left
	$(BIN)/python -m e2e.cluster down

docs: $(VENV)/.installed ## Build the documentation, with strict links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

generate: $(VENV)/.installed ## Generate the CustomResourceDefinitions, the references, and the chart's rights and table of values
	$(BIN)/python -m qonverge.api.schema crds charts/qonverge/crds
	$(BIN)/python -m qonverge.api.rights charts/qonverge/templates/_rights.tpl
	$(BIN)/python -m qonverge.api.chart_values charts/qonverge docs/chart.md
	$(BIN)/python -m qonverge.api.reference docs/reference.md
	$(BIN)/python -m qonverge.telemetry.reference docs/metrics.md

snapshots: $(VENV)/.installed ## Make the snapshots of real devices again from what qiskit-ibm-runtime and cirq-google publish
	folder=$$(mktemp -d) && $(BIN)/pip download --quiet --no-deps --dest $$folder qiskit-ibm-runtime==0.51.0 \
		&& $(BIN)/python -m zipfile -e $$folder/*.whl $$folder && $(BIN)/python -m qonverge.devices.ibm $$folder \
		operator/qonverge/devices/snapshots --source "qiskit-ibm-runtime 0.51.0, fake_provider (Apache-2.0)"; rm -rf $$folder
	$(BIN)/python -m qonverge_dev_cloud.google.snapshots operator/qonverge/devices/snapshots

LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --quiet
lock: $(VENV)/.installed ## Lock the versions of all dependencies
	$(LOCK) pyproject.toml dev-cloud/pyproject.toml --extra all --group dev -o requirements/dev.txt
	$(LOCK) --group build -c requirements/dev.txt -o requirements/build.txt
	$(LOCK) pyproject.toml --extra local --group build -c requirements/dev.txt -o requirements/demo.txt
	$(LOCK) pyproject.toml --extra operator --extra tracing -c requirements/dev.txt -o requirements/operator.txt
	$(LOCK) pyproject.toml --extra stim --extra braket-local --extra braket-cloud --extra google-cloud --extra ibm-cloud --extra ionq --extra remote --extra tracing \
		-c requirements/dev.txt -o requirements/backend.txt
	$(LOCK) pyproject.toml --extra client --extra parallel --extra dask --extra git --extra requirements --extra tracing -c requirements/dev.txt -o requirements/program.txt
	$(LOCK) --group iqm-client -o requirements/iqm-client.txt
	$(LOCK) dev-cloud/pyproject.toml -c requirements/dev.txt -o dev-cloud/requirements.txt

bench: programs ## Measure, and write a table and JSON to bench/results
	$(BIN)/python -m bench

clean: ## Remove what the targets made
	rm -rf $(VENV) $(DEMO) $(IQM) site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
