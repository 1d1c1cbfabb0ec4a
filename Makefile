# Two commands are all that a clone needs: `make demo` and `make test`. Both begin with `make setup`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
READY := .venv/.ready
# The Debian release of the lab's hosts in tests and benchmarks: make scenario SUITE=trixie.
SUITE ?=
# What needs root (the lab) runs by sudo where make does not run as root. uv stands beside: it fetches libraries for
# hosts whose Python is another one than this machine's.
ROOT := $(if $(filter 0,$(shell id -u)),env,sudo env) PATH="$(CURDIR)/.tools/venv/bin:$$PATH:/usr/sbin:/sbin" \
	PYTHONDONTWRITEBYTECODE=1 $(if $(CI),CI="$(CI)") $(if $(SUITE),SECONDSITE_TEST_SUITE="$(SUITE)")
JUNIT := build/junit
WRITTEN := build .hypothesis .pytest_cache
GIVE_BACK := $(if $(filter 0,$(shell id -u)),:,sudo chown -R "$$(id -u):$$(id -g)" $(WRITTEN))
# $(call as_root,COMMAND): what root wrote here is given back, so that `make clean` needs no sudo.
define as_root
	@mkdir -p $(WRITTEN) $(JUNIT)
	@trap '$(GIVE_BACK)' EXIT; $(ROOT) $(1)
endef
pytest = $(call as_root,$(BIN)/python -m pytest $(1))
export UV_NO_PROGRESS := 1

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14 | sed 's/^/  make /'

.PHONY: setup
setup: $(READY) ## install what is needed: Debian packages, uv, the locked environment
	@echo "ready: $(BIN)/secondsite, $(BIN)/secondsite-lab"

.tools/system: scripts/setup.sh
	@scripts/setup.sh system
	@mkdir -p $(@D) && touch $@

$(READY): .tools/system scripts/setup.sh scripts/requirements-uv.txt pyproject.toml uv.lock
	@scripts/setup.sh python
	@touch $@

.tools/tests: scripts/setup.sh
	@scripts/setup.sh tests
	@mkdir -p $(@D) && touch $@

.PHONY: demo
demo: $(READY) ## a disaster at one of two sites, on this machine, as a customer feels it
	$(call as_root,$(BIN)/secondsite-lab demo)

# Tests mostly wait for hosts: three files run side by side, each worker with labs of its own. WORKERS=0: one after the other.
WORKERS ?= 3
SIDE_BY_SIDE = -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: test
test: check .tools/tests ## everything that CI runs: check, then every test, the quick ones first
	$(call pytest,$(SIDE_BY_SIDE) --durations=25 --junit-xml=$(JUNIT)/all.xml)

.PHONY: check
check: $(READY) ## formatting, lint, types, import layers
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

.PHONY: unit docs contract integration scenario
unit: ## pure code against fakes
docs: ## documentation against the code
contract: ## one suite over each fake and what it stands for (some need root)
integration: ## real programs of one host (some need root)
scenario: ## whole procedures in the lab (needs root); SUITE=trixie: on Debian 13 with PostgreSQL 17
contract integration: .tools/tests
unit docs contract integration scenario: $(READY)
	$(call pytest,tests/$@ --junit-xml=$(JUNIT)/$@.xml)

.PHONY: crash-matrix
crash-matrix: $(READY) .tools/tests ## every procedure killed at every step; make test runs a sample (needs root)
	$(call as_root,SECONDSITE_CRASH_MATRIX=all $(BIN)/python -m pytest -v tests/scenario/test_failover_killed.py \
		tests/scenario/test_switchover_killed.py tests/scenario/test_zombies.py tests/scenario/test_kills.py \
		--junit-xml=$(JUNIT)/crash-matrix.xml)

.tools/openzfs: scripts/setup.sh
	@scripts/setup.sh openzfs
	@mkdir -p $(@D) && touch $@

.PHONY: openzfs
openzfs: $(READY) .tools/openzfs ## real OpenZFS in two emulated machines, half an hour or more, not in CI (needs root)
	$(call pytest,tests/openzfs -v --junit-xml=$(JUNIT)/openzfs.xml)

BENCHES := $(patsubst bench/%.py,bench-%,$(shell grep -ls '^if __name__' bench/*.py))
# bench-database runs these, and puts what they find into one document.
DATABASE := $(addprefix bench-,failover switchover seeding load failback)
# bench-files does these in one lab; each alone has its own: make bench-files_latency.
FILE_SETS := $(addprefix bench-,files_idle files_latency files_zfs files_large files_new files_restart)
.PHONY: bench $(BENCHES)
bench: $(filter-out $(DATABASE) $(FILE_SETS),$(BENCHES)) ## every benchmark, one after the other: build/bench and a table (needs root)
$(BENCHES): bench-%: $(READY)
	$(call as_root,$(BIN)/python -m bench.$*)

ROUNDS ?= 10
SEED ?= 2026
.PHONY: campaign
campaign: $(READY) .tools/tests ## ROUNDS=n SEED=s: random faults and a checker of every promise; ROUND=k: that one again
	$(call as_root,$(BIN)/python -m campaign --rounds $(ROUNDS) --seed $(SEED) $(if $(ROUND),--round $(ROUND)))

OPERATIONS ?= 2000
.PHONY: churn
churn: $(READY) .tools/tests ## OPERATIONS=n SEED=s: file sets under churn and faults, over every file system (needs root)
	$(call as_root,$(BIN)/python -m churn --operations $(OPERATIONS) --seed $(SEED) $(if $(ONLY),--only $(ONLY)))

.PHONY: reference
reference: $(READY) ## write docs/reference anew from the code
	@$(BIN)/python -m scripts.reference

.PHONY: format
format: $(READY) ## format the code and mend what lint can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: clean
clean: ## remove what was made here: environment, tools, build, caches (not the lab's images)
	@rm -rf .venv .tools build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
