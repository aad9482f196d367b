# `make certify` and `make test` do all of their own set-up. See README.md.
PROFILE ?= profiles/reference.yaml
ENGINE ?=
REPORT_DIR ?=
SHELL := /bin/bash
PYTHON := .venv/bin/python
ENGINE_OPTION := $(if $(ENGINE),--engine $(ENGINE))
REPORT_OPTION := $(if $(REPORT_DIR),--report-dir $(REPORT_DIR))

.PHONY: certify test lint bench up down status clean setup lock requirements

certify: setup
	$(PYTHON) -m pytest conformance loadtests chaos --profile $(PROFILE) $(ENGINE_OPTION) $(REPORT_OPTION) $(ARGS)

test: setup
	$(PYTHON) -m pytest tests $(ENGINE_OPTION) $(ARGS)

lint: setup
	$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy

bench: setup
	$(PYTHON) -m benchmarks $(ARGS)

up: setup
	$(PYTHON) -m fixtures up --profile $(PROFILE) $(ENGINE_OPTION)

down: setup
	$(PYTHON) -m fixtures down

status: setup
	$(PYTHON) -m fixtures status --profile $(PROFILE)

clean: down
	$(PYTHON) -m fixtures clean

setup:
	@fixtures/host/setup.sh $(ENGINE_OPTION)

requirements:
	$(PYTHON) -m conformance

lock:
	uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements.in -o requirements.txt
