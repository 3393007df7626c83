# Retrial: deep-learning papers on trial.
#
#   make reproduce-all                    every paper at profile quick
#   make reproduce-all PROFILE=standard   overnight on a laptop
#   make noisy-quadratic                  one paper
#   make test                             format, lints, tests, and every experiment's code path
#   make data                             the full data sets, into data/full/

PROFILE ?= quick
PAPERS  ?= noisy-quadratic
WORKERS ?=
CARGO   ?= cargo

run_flags = --profile $(PROFILE) $(if $(WORKERS),--workers $(WORKERS))

.PHONY: help reproduce-all $(PAPERS) build test data bench clean-smoke

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

reproduce-all: $(PAPERS)

$(PAPERS): build
	target/release/$@ $(run_flags)

build:
	$(CARGO) build --release --workspace

test:
	$(CARGO) fmt --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	$(CARGO) test --release --workspace
	$(MAKE) reproduce-all PROFILE=smoke

data:
	$(CARGO) run --release -p retrial-core --features hub --bin retrial-data -- fetch

bench:
	$(CARGO) bench -p retrial-kernels
