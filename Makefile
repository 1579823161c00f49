# Two commands matter: `make demo` and `make test`. Both set up what they need in .venv and say what they do.
PYTHON ?= python3
VENV ?= .venv
PEER ?= .venv-peer
RUN := $(VENV)/bin
PIP := python -m pip install --quiet --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-kubernetes chaos verify parity browser lint types contracts templates check infra-check image benchmark clean

help: ## What there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## The environment of the package, pinned by constraints.txt

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "[setup] Python environment in $(VENV) (about a minute the first time)"
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	@$(RUN)/$(PIP) --constraint constraints.txt --editable '.[development]'
	@$(RUN)/python -c 'import reprocess, pytest, moto' && touch $@
	@echo "[setup] done"

demo: $(VENV)/.ready ## The whole trip on this machine: an archive in S3 to published products and a report
	@$(RUN)/reprocess demo

test: $(VENV)/.ready ## All tests of the package
	@echo "[test] fast rooms first, then the whole trip over HTTP"
	@$(RUN)/python -m pytest --numprocesses=2 --dist=loadfile

test-kubernetes: $(VENV)/.ready ## Campaigns on the cluster of KUBECONFIG, through the loss of any pod (else on a bench, if there is one)
	@$(RUN)/python -m tests.kubernetes

SEEDS ?= 0-49
UNITS ?= 200
chaos: $(VENV)/.ready ## 200 units, 50 seeds, kill -9 and faults on the S3 of AWS_ENDPOINT_URL, else moto (hours; SEEDS=0-4 UNITS=24)
	@echo "[chaos] seeds $(SEEDS) of $(UNITS) units; logs and results in .chaos, where an interrupted suite goes on"
	@$(RUN)/python -m tests.chaos --seeds $(SEEDS) --units $(UNITS)

verify: $(VENV)/.ready ## Selection of references against crds: 10,000 headers, all types, three contexts (minutes)
	@echo "[verify] comparing with crds"
	@$(RUN)/python -m pytest --override-ini addopts= --strict-markers --import-mode=importlib -q -ra tests/verify

parity: $(PEER)/.ready ## The same pixels as the official pipeline, step by step (environment of its own)
	@echo "[parity] comparing with the official pipeline"
	@$(PEER)/bin/python -m pytest --override-ini addopts= --strict-markers --import-mode=importlib -ra tests/parity

$(PEER)/.ready: pyproject.toml constraints-peer.txt
	@echo "[setup] the official pipeline in $(PEER), for comparison only (about two minutes the first time)"
	@test -x $(PEER)/bin/python || $(PYTHON) -m venv $(PEER)
	@$(PEER)/bin/$(PIP) --constraint constraints-peer.txt jwst==3.0.0 pytest hypothesis --editable .
	@$(PEER)/bin/python -c 'import jwst, reprocess' && touch $@

browser: ## The report in a real browser (Debian's chromium, or REPROCESS_CHROMIUM; environment of its own)
	@test -x .venv-browser/bin/python || $(PYTHON) -m venv .venv-browser
	@.venv-browser/bin/$(PIP) --constraint constraints.txt playwright --editable '.[development]'
	@.venv-browser/bin/python -m pytest --override-ini addopts= --strict-markers --import-mode=importlib -q -ra tests/browser

lint: $(VENV)/.ready ## ruff
	@$(RUN)/ruff check . && $(RUN)/ruff format --check .

types: $(VENV)/.ready ## mypy, strict
	@$(RUN)/mypy

contracts: $(VENV)/.ready ## The direction of imports
	@$(RUN)/lint-imports

templates: $(VENV)/.ready ## The AWS templates through cfn-lint
	@$(RUN)/cfn-lint infra/*.yaml

check: lint types contracts templates ## lint, types, import contracts and templates

infra-check: templates ## The AWS templates: cfn-lint, and our tests of policies, buckets, machines and costs
	@$(RUN)/python -m pytest -q tests/infra

image: $(VENV)/.ready ## The image, built twice and tested (root; REPROCESS_IMAGE_BASE: a root filesystem of bookworm with Python 3.11)
	@$(RUN)/python -m pytest -q tests/manifests/test_image.py

benchmark: $(VENV)/.ready ## Timings, as ratios against the peers where there are some
	@$(RUN)/python -m benchmarks

clean: ## Remove the environments and what they made
	rm -rf $(VENV) $(PEER) .venv-browser .pytest_cache .mypy_cache .ruff_cache .hypothesis demo-output
