# Retrial: deep-learning papers on trial.
#
#   make reproduce-all                    every paper at profile quick
#   make reproduce-all PROFILE=standard   overnight on a laptop
#   make noisy-quadratic                  one paper
#   make test                             format, lints, tests, and every experiment's code path
#   make data                             the full data sets, into data/full/
#   make report                           all verdicts and figures on one page; the tables of the README
#   make bench                            training speed of whole networks on one thread

PROFILE ?= quick
PAPERS  ?= noisy-quadratic
WORKERS ?=
# What you train goes here; results/ holds what this repository rests on (RESULTS=results to rewrite it).
RESULTS ?= reproduced
CARGO   ?= cargo

run_flags = --profile $(PROFILE) --results $(RESULTS) $(if $(WORKERS),--workers $(WORKERS))

.PHONY: help reproduce-all $(PAPERS) build test data report bench

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

reproduce-all: $(PAPERS)

$(PAPERS): build
	target/release/$@ $(run_flags)

build:
	$(CARGO) build --release --workspace

test:
	$(CARGO) fmt --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	$(CARGO) test --release --workspace
	$(CARGO) run --release --quiet -p retrial-report -- --readme README.md --check
	$(MAKE) reproduce-all PROFILE=smoke

report:
	$(CARGO) run --release --quiet -p retrial-report -- --readme README.md

data:
	$(CARGO) run --release -p retrial-core --features hub --bin retrial-data -- fetch

# Training steps of whole networks on one thread: a line of CSV each, medians and peak memory.
bench:
	@for model in mlp cnn resnet wrn allcnn densenet; do \
		$(CARGO) run --release --quiet -p retrial-kernels --example training_speed -- $$model --threads 1 || exit 1; \
	done
