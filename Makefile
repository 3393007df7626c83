# Retrial: deep-learning papers on trial.
#
#   make reproduce-all                    every paper at profile quick
#   make reproduce-all PROFILE=standard   overnight on a laptop
#   make noisy-quadratic                  one paper
#   make test                             format, lints, tests, and every experiment's code path
#   make test-arm                         the kernels' tests on 64-bit ARM, emulated (needs qemu-aarch64 and a cross gcc)
#   make data                             the full data sets, into data/full/
#   make compare                          are the rows you trained those of results/, byte for byte?
#   make report                           all verdicts and figures on one page; the tables of the READMEs
#   make bench                            training speed of whole networks and of single ops
#   make bench-pytorch                    the same networks beside PyTorch (installs it below target/)
#   make bench-tape                       the same kernels as custom ops under candle's autograd
#   make bench-quick                      profile quick of noisy-quadratic with candle's own layers and with ours
#   make bench-drift                      200 steps of every network against f64 (an hour)
#   make bench-clone                      how long a fresh clone takes to build, to try all papers, and to test (40 minutes)

PROFILE ?= quick
PAPERS  ?= noisy-quadratic loss-correction importance-weighting selfie critical-periods importance-sampling
WORKERS ?=
# What you train goes here; results/ holds what this repository rests on (RESULTS=results to rewrite it).
RESULTS ?= reproduced
CARGO   ?= cargo

run_flags = --profile $(PROFILE) --results $(RESULTS) $(if $(WORKERS),--workers $(WORKERS))

.PHONY: help reproduce-all $(PAPERS) build test test-arm data compare report bench bench-pytorch bench-tape bench-quick bench-drift bench-clone

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
	$(MAKE) build
	target/release/retrial-report --check --readme README.md crates/*/README.md
	$(MAKE) reproduce-all PROFILE=smoke

test-arm:
	PROPTEST_CASES=6 CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
		CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
		CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu" \
		$(CARGO) test --release -p retrial-kernels --target aarch64-unknown-linux-gnu --lib --test ops

compare: build
	target/release/retrial-report --compare $(RESULTS)

report: build
	target/release/retrial-report --readme README.md crates/*/README.md

data:
	$(CARGO) run --release -p retrial-core --features hub --bin retrial-data -- fetch

SPEED = target/release/examples/training_speed

# Every network on one and two threads and as two processes, single ops, and the chart: ten minutes.
bench:
	$(CARGO) build --release -p retrial-kernels --features allocator --example training_speed
	@mkdir -p results/bench
	$(SPEED) --table results/bench/speed.csv
	$(CARGO) run --release --quiet -p retrial-report --bin bench-chart
	$(CARGO) bench -p retrial-kernels --features allocator --bench ops -- --table $(CURDIR)/results/bench/ops.csv
	$(CARGO) bench -p retrial-kernels --features allocator --bench ops | tee results/bench/ops.txt
	RAYON_NUM_THREADS=1 $(CARGO) run --release --quiet -p critical-periods --example fisher_cost -- results/bench/fisher.csv

# The same networks in PyTorch, round by round with ours: a quarter of an hour. Installs PyTorch below target/.
bench-pytorch:
	$(CARGO) build --release -p retrial-kernels --features allocator --example training_speed
	@mkdir -p results/bench
	test -x target/pytorch/bin/python || python3 -m venv target/pytorch
	target/pytorch/bin/python -c 'import torch' 2>/dev/null || target/pytorch/bin/pip install --quiet torch numpy
	target/pytorch/bin/python benches/pytorch.py --ours $(SPEED) --threads 1 --out results/bench/pytorch.csv
	target/pytorch/bin/python benches/pytorch.py --ours $(SPEED) --threads 2 --out results/bench/pytorch.csv
	$(CARGO) run --release --quiet -p retrial-report --bin bench-chart

# Does the tape earn its place? The same kernels both ways, in turn: five minutes.
bench-tape:
	@mkdir -p results/bench
	$(CARGO) run --release --quiet -p retrial-kernels --features allocator --example autograd -- --out results/bench/tape.csv

# The same cells with every layer as candle's own expression, and with the kernels: a quarter of an hour.
bench-quick:
	@mkdir -p results/bench
	rm -rf target/bench-quick && mkdir -p target/bench-quick
	$(CARGO) build --release -p noisy-quadratic --features retrial-kernels/expressions
	cp target/release/noisy-quadratic target/bench-quick/expressions
	$(CARGO) build --release -p noisy-quadratic
	cp target/release/noisy-quadratic target/bench-quick/kernels
	echo layers,wall_seconds > target/bench-quick/quick.csv
	for layers in expressions kernels; do start=$$(date +%s); \
		target/bench-quick/$$layers run --profile quick --results target/bench-quick/$$layers.results || exit 1; \
		echo $$layers,$$(($$(date +%s) - start)) >> target/bench-quick/quick.csv; done
	cp target/bench-quick/quick.csv results/bench/quick.csv

# Kernels and plain candle, both against f64. Candle's own threads only spin here. 784 steps in time are slow as expressions.
DRIFT = CANDLE_NUM_THREADS=1 RAYON_NUM_THREADS=1 \
	$(CARGO) run --release --quiet -p retrial-kernels --features allocator --example drift -- --out results/bench/drift.csv
bench-drift:
	@mkdir -p results/bench
	$(DRIFT) --batch 8 mlp cnn resnet allcnn wrn densenet
	$(DRIFT) --batch 2 lstm

# In this order: the tests come last and find the build done.
STEPS ?= build reproduce-all test
bench-clone:
	@mkdir -p results/bench
	rm -rf target/clone && git clone --quiet . target/clone
	echo step,seconds > target/clone.csv
	for step in $(STEPS); do \
		start=$$(date +%s); $(MAKE) -C target/clone $$step || exit 1; \
		echo $$step,$$(($$(date +%s) - start)) >> target/clone.csv; \
	done
	mv target/clone.csv results/bench/clone.csv
