# Every target sets up what it needs; the second time is quick.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install run test unit e2e lint types bench conformance faults docs wire lock clean

help: ## what there is
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

install: .venv/.installed ## the virtual environment, from requirements.lock

.venv/.installed: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip .venv
	@echo "installing the Python packages of requirements.lock (about a minute) …"
	@began=$$(date +%s); \
	$(PYTHON) -m pip --python $(BIN)/python install -q --disable-pip-version-check --no-deps --require-hashes -r requirements.lock && \
	$(PYTHON) -m pip --python $(BIN)/python install -q --disable-pip-version-check --no-deps --no-build-isolation -e . && \
	echo "installed in $$(($$(date +%s) - began)) s"
	@touch $@

run: install ## a real ElizaOS server and the gateway; TOUR=exit ends after the tour; MODEL=smollm2 thinks
	@TOUR="$(TOUR)" MODEL="$(MODEL)" $(BIN)/python -m examples.tour

test: lint types unit e2e ## every test

unit: install ## the tests without real servers, three at a time
	@$(BIN)/python -m pytest -n 3 -m "not e2e and not slow" tests

e2e: install ## the tests with real servers and real clients
	@$(BIN)/python -m pytest -m "e2e and not slow" tests

lint: install ## ruff: style and its limits
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: install ## pyright, strict
	@$(BIN)/basedpyright

bench: install ## calls a second, CPU per call, memory, start-up, and what is added to ElizaOS; writes build/bench*.json
	@$(BIN)/python -m bench
	@$(BIN)/python -m bench.eliza
	@$(BIN)/python -m bench.tau2

conformance: install ## MCP's own suites, direct and through the gateway; ONLY=words; writes build/conformance.json
	@$(BIN)/python -m tests.e2e.mcp.conformance --only "$(ONLY)"; status=$$?; \
	test -n "$(ONLY)" || $(BIN)/python -m pytest -m slow tests/e2e/mcp || status=1; exit $$status

faults: install ## the long forms of the tests of what goes wrong; writes build/faults.json
	@rm -f build/faults.json; FAULTS=1 $(BIN)/python -m pytest -m "slow or faults" tests/adapters tests/gateway

docs: install ## the tables in docs/ that are made from the code
	@$(BIN)/python docs/make.py

wire: install ## what the ElizaOS plugin speaks, from the gateway's OpenAPI document
	@$(BIN)/python -m tests.e2e.plugin.wire

lock: ## requirements.lock and the locks of frameworks anew
	@$(PYTHON) -m pip --version >/dev/null && uvx --version >/dev/null && \
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --extra all --group dev pyproject.toml -o requirements.lock
	@$(BIN)/python -m adapters.sidekick.locks
	@$(BIN)/python -m adapters.inspect.locks

clean: ## all that was installed or made
	rm -rf .venv .doolittle build plugin-ts/node_modules plugin-ts/dist examples/elizaos-agent/node_modules examples/elizaos-agent/smollm2/node_modules \
	  tests/e2e/mcp/node_modules tests/e2e/mcp/conformance/node_modules
