# make help lists everything. One virtual environment, one state folder; nothing outside them is touched.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STATE := .local
# only what is given on the command line: a shell may export COLUMNS as the width of the terminal
MAPPING := $(if $(filter command line,$(origin COLUMNS)),$(COLUMNS),)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "the venv module is missing; on Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 2; }

# what the demo needs
$(VENV)/.demo: $(BIN)/python setup.cfg constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'
	@touch $@

# what the tests need on top
$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.PHONY: demo
demo: $(VENV)/.demo ## real scores through everything, then proof; EVENTS=file.csv.gz COLUMNS='a=b,...' for your own
	$(BIN)/python -m worker local demo --directory $(STATE)/demo \
		$(if $(EVENTS),--events '$(EVENTS)') $(if $(MAPPING),--columns '$(MAPPING)')

.PHONY: up
up: $(VENV)/.demo ## the whole product on this machine until Ctrl-C, the page included; SCORES=1 sends real scores
	@exec $(BIN)/python -m worker local up --directory $(STATE)/up $(if $(SCORES),--scores)

.PHONY: install
install: $(VENV)/.dev ## only install, with the development tools

.PHONY: lint
lint: $(VENV)/.deploy ## style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: fmt
fmt: $(VENV)/.dev ## format and mend what can be mended
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

.PHONY: unit
unit: $(VENV)/.dev ## the tests that start nothing
	$(BIN)/python -m pytest tests/unit

# the tests of the page drive a real browser and fail without one
CHROMIUM := /usr/bin/chromium
$(CHROMIUM):
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
	else echo "the tests of the page need Chromium as $@; on Debian, as root: apt-get install chromium"; exit 2; fi

.PHONY: browser
browser: $(CHROMIUM) ## install the browser that the tests of the page drive; needs root

# what builds and runs the image where no Docker engine is
BUILDERS := /usr/bin/buildah /usr/bin/mmdebstrap /usr/sbin/runc
$(BUILDERS) &:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends buildah mmdebstrap runc; \
	elif [ -n "$${CI:-}" ] || [ "$(MAKECMDGOALS)" = image ]; then \
		echo "the image needs root and $@; on Debian: apt-get install buildah mmdebstrap runc"; exit 2; \
	else echo "no root and no $@: the image is not built, its tests are skipped"; fi

.PHONY: image
image: $(VENV)/.dev $(BUILDERS) ## both container images and their sizes, without a Docker engine; needs root
	@if [ "$$(id -u)" = 0 ] || [ "$(MAKECMDGOALS)" = image ]; then $(BIN)/python -m deploy.image; fi

# three of them on two cores: what drives whole systems mostly waits
.PHONY: test
test: $(CHROMIUM) $(VENV)/.deploy ## lint, types, import contracts and all tests, the real daemon and the image included
	@$(MAKE) --no-print-directory -j 2 --output-sync=target lint image
	$(BIN)/python -m pytest -n 3 --dist worksteal

.PHONY: faults
faults: $(VENV)/.dev ## every drill at load, with a table; DRILLS="1 2 9" for some
	@# the drills that reshard run on Node; without it the table says why they were not run
	@command -v npm >/dev/null \
		|| $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[drills]' || true
	$(BIN)/python -m tests.faults $(DRILLS)

MINUTES ?= 20
.PHONY: soak
soak: $(VENV)/.dev ## two tasks at 5,000 events/s with a failure every minute, then the proof; MINUTES=20
	$(BIN)/python -m tests.faults --soak $(MINUTES)

# the worker task is held to half a core and 1 GiB by a control group, where the kernel and our rights allow
LOAD_REPORT ?= docs/load-test/report.json
.PHONY: load-test
load-test: MINUTES = 10
load-test: $(VENV)/.dev ## 5,000 events/s for MINUTES=10 on this machine, then the highest rate; LOAD='--http' for more
	$(BIN)/python -m scripts.load_test --local --directory $(STATE)/load-test --warm-up 30 --rate 5000 --minutes $(MINUTES) \
		--require-rate 5000 --require-p99 0.5 --require-loss 0 --find-limit --report $(LOAD_REPORT) $(LOAD)

# a suite that fails stops neither the others nor the page, which is made of what there is
define bench
@code=0; $(BIN)/python -m benchmarks $(1) || code=$$?; $(BIN)/python -m benchmarks.report; exit $$code
endef

.PHONY: bench
bench: $(VENV)/.dev ## every promise measured, then docs/performance.md; up to two hours
	$(call bench,)

.PHONY: bench-task
bench-task: $(VENV)/.dev ## P1: what one worker task of half a core takes
	$(call bench,task)

.PHONY: bench-latency
bench-latency: $(VENV)/.dev ## P2: the load test, as a result of its own
	$(call bench,latency)

.PHONY: bench-peers
bench-peers: $(VENV)/.dev ## P3: beside other ways to do the same
	$(call bench,peers)

.PHONY: bench-hotpath
bench-hotpath: $(VENV)/.dev ## where the CPU of an event goes: a flame graph, and what each statement uses
	$(call bench,hotpath)

.PHONY: bench-memory
bench-memory: $(VENV)/.dev ## P4: what a task needs of memory
	$(call bench,memory)

.PHONY: bench-api
bench-api: $(VENV)/.dev ## P5: what a request and an event cost the API, and how long readers wait
	$(call bench,api)

.PHONY: bench-backfill
bench-backfill: $(VENV)/.dev ## P6: how fast files become scores, and Redis is made anew
	$(call bench,backfill)

.PHONY: bench-growth
bench-growth: $(VENV)/.dev ## P7: what an event costs in a ledger that has grown
	$(call bench,growth)

.PHONY: bench-cost
bench-cost: $(VENV)/.dev ## P8: what a million events cost
	$(call bench,cost)

.PHONY: bench-start
bench-start: $(VENV)/.dev ## P9: how soon a task is at work
	$(call bench,start)

.PHONY: bench-scale
bench-scale: $(VENV)/.dev ## P10: a plan to a million events a second, reckoned and simulated
	$(call bench,scale)

.PHONY: bench-replay
bench-replay: $(VENV)/.dev ## what a replay costs the live traffic beside it
	$(call bench,replay)

.PHONY: gate
gate: $(VENV)/.dev ## whether a part of an event's way has become dearer; seconds, and part of the tests
	$(BIN)/python -m benchmarks.gate

# what the platform's synthesis needs
$(VENV)/.deploy: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[deploy]'
	@touch $@

.PHONY: synth
synth: $(VENV)/.deploy ## the AWS template of dev and of prod, checked; needs no account, network or Docker
	@for stage in dev prod; do \
		STAGE=$$stage CDK_OUTDIR=$(STATE)/cdk/$$stage \
		CERTIFICATE_ARN=$${CERTIFICATE_ARN:-arn:aws:acm:ap-northeast-1:111122223333:certificate/example} \
		INTERNAL_DOMAIN=$${INTERNAL_DOMAIN:-api.internal.example.org} \
		$(BIN)/python -m deploy.app && echo "$(STATE)/cdk/$$stage"; done
	@$(BIN)/python -m deploy.local

.PHONY: snapshot
snapshot: $(VENV)/.deploy ## write the reviewed template of dev anew; look at its difference before you commit
	$(BIN)/python -m tests.deploy.snapshot

.PHONY: nist
nist: $(VENV)/.deploy ## the findings of NIST 800-53 in prod, each with its answer, into deploy/NIST.md
	@{ sed '/^| rule /,$$d' deploy/NIST.md; $(BIN)/python -m deploy.nist; } > deploy/NIST.md.new
	@mv deploy/NIST.md.new deploy/NIST.md

.PHONY: model
model: $(VENV)/.dev ## the protocol's model, every configuration (many minutes)
	$(BIN)/python -m tests.model --all

.PHONY: clean
clean: ## delete the state folder, the virtual environment and all caches
	@if [ -x $(BIN)/python ] && [ -d $(STATE) ]; then \
		for state in $(STATE)/*/; do $(BIN)/python -m worker local clean --directory "$$state" || true; done; fi
	rm -rf $(STATE) $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
