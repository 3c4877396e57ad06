# Everything a developer does, and what CI runs. `make` alone lists it.

SHELL := bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Tools that the set-up script builds for this checkout come first.
export PATH := $(CURDIR)/.tools/bin:$(PATH)

# Arguments of `weir serve` for `make run`.
ARGS ?=
# What `make demo` runs with, such as "--clients 1000"; `weir-demo` alone says what there is.
DEMO ?=
# Cases of `make bench`: all, or some of those that `weir-bench --help` names.
BENCH ?= all
# The build that `make upgrade-test` runs beside this one, as a git ref: the one before, where none is given.
FROM ?=
# Seconds of faults of `make soak`, and the seed that chooses them; one is chosen, and printed first, where it is empty.
SOAK_SECONDS ?= 600
SOAK_SEED ?=
# Seconds for each fuzz target at the end of `make soak`; 0 leaves them out, and with them the nightly toolchain.
SOAK_FUZZ_SECONDS ?= 300
# Seconds for which clients come and go in `make churn`.
CHURN_SECONDS ?= 3600
# Clients of `make crowd`.
CROWD ?= 3000
# Appends of `make appends`, to a file and as many to Redis.
APPENDS ?= 1000000
# Seconds for each fuzz target. They link without LTO, which would cost minutes each.
FUZZ_SECONDS ?= 60

.PHONY: help run demo release deb image test examples pictures dashboards deploy-test upgrade-test check fmt fmt-check lint doc deny sizes conformance soak crowd appends bench churn fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build and serve the embedded log on 127.0.0.1:8080; ARGS="--redis redis://…" and so on
	cargo run --release --locked --quiet --bin weir -- serve $(ARGS)

# Not optimised: it is there sooner, and this load is light.
demo: ## a cluster with monitoring and load on this machine, to look at and to break; DEMO="--clients 1000" and so on
	@.ci/setup demo
	@cargo build --locked -p weir -p weir-testkit --bin weir --bin weir-demo
	@target=$$(cargo metadata --no-deps --offline --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/') && \
	exec "$$target/debug/weir-demo" $(DEMO)

release: ## build the binary to ship: with its commit, and with the list of its dependencies for scanners
	@.ci/setup release
	@.ci/release

image: ## build the container image weir:latest, with docker or podman
	@.ci/image weir:latest

deb: ## make the Debian package of that binary, in target/
	@.ci/setup deb
	@.ci/setup release
	@.ci/deb "$$(.ci/release | tail -n 1)" target

test: ## install what the tests need, then run all of them
	@.ci/setup test
	@if cargo nextest --version >/dev/null 2>&1; then \
	    cargo nextest run --workspace --locked --no-fail-fast && \
	    cargo test --workspace --locked --doc --quiet; \
	else \
	    cargo test --workspace --locked --no-fail-fast; \
	fi

examples: ## start the applications of docs/examples and run their tests in browsers; one line for each at the end
	@.ci/setup test
	@.ci/setup examples
	@.ci/examples

pictures: ## make the pictures of the console, the demo page and the examples in docs/images anew, in Chromium
	@.ci/setup test
	@.ci/setup examples
	cargo test --quiet --locked -p weir --test console --test demo -- --ignored pictures::
	WEIR_TEST_PICTURES=docs/images .ci/examples its_pictures

# Seven minutes, in which a cluster lives through what the pictures show.
dashboards: ## make the pictures of the dashboards in docs/images anew, from live data
	@.ci/setup dashboards
	WEIR_TEST_PICTURES=docs/images cargo test --quiet --locked -p weir --test deploy -- --ignored every_panel

deploy-test: ## run what deploy/ holds: rules, dashboards, charts, images, units, load balancers; names what cannot run here
	@.ci/setup test
	@.ci/setup deploy
	@.ci/deploy-test

# In a clone without history this fails rather than passes: whoever reads "green" takes it that two versions were run beside
# each other. It first tries to fetch the history itself, as a shallow clone of CI can, and else says what to do.
upgrade-test: ## run the build before this one beside this one, on one stream; FROM=<git ref> for another
	@.ci/setup test
	@previous=$$(.ci/previous $(FROM)) && \
	WEIR_PREVIOUS_BINARY=$$previous cargo test --quiet --locked -p weir --test upgrade -- --ignored

check: ## all that CI checks, in CI's order
	@lock=$$(cksum Cargo.lock) && \
	cargo fetch --locked && \
	$(MAKE) deny fmt-check lint doc sizes test && \
	{ [ "$$lock" = "$$(cksum Cargo.lock)" ] || { echo 'check: Cargo.lock moved: commit it' >&2; exit 1; }; }

# The peers of the benches are a package apart from the workspace.
fmt: ## format the code
	cargo fmt --all
	cargo fmt --manifest-path benches/peers/Cargo.toml

fmt-check:
	cargo fmt --all --check
	cargo fmt --manifest-path benches/peers/Cargo.toml --check

lint: ## clippy on everything, warnings are errors
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --manifest-path benches/peers/Cargo.toml --target-dir target/peers --all-targets --locked -- -D warnings

doc: ## build the API documentation, warnings are errors
	RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked

deny: ## fences between crates, licences, sources and advisories of dependencies
	@.ci/setup deny
	cargo deny --locked check bans licenses sources
	@if timeout 60 cargo deny --locked fetch db >/dev/null 2>&1; then \
	    cargo deny --locked check --disable-fetch advisories; \
	else \
	    echo 'deny: the advisory database cannot be reached from here, so advisories were not checked'; \
	fi

sizes: ## the budget of lines per file; clippy holds that of functions
	@.ci/sizes

# What it prints last is one line for each set-up. Each run takes half a minute.
conformance: ## the public suite of Durable Streams: one instance, one on Redis, three behind HAProxy, the same with kills
	@.ci/setup conformance
	cargo build --locked -p weir -p weir-testkit --bins
	cargo run --locked --quiet -p weir-testkit --bin weir-conformance

soak: ## three instances under every fault for SOAK_SECONDS (600), SOAK_SEED repeats a run; then fuzz for SOAK_FUZZ_SECONDS (300) each
	@.ci/setup soak
	@[ $(SOAK_FUZZ_SECONDS) = 0 ] || .ci/setup fuzz
	@targets=$$(ls crates/weir-fuzz/fuzz_targets/*.rs | wc -l) && \
	echo "soak: $(SOAK_SECONDS) s of faults, then $$targets fuzz targets for $(SOAK_FUZZ_SECONDS) s each:" \
	    "$$(( ($(SOAK_SECONDS) + targets * $(SOAK_FUZZ_SECONDS)) / 60 + 1 )) minutes, and some to build"
	cargo build --locked -p weir -p weir-testkit --bins
	cargo run --locked --quiet -p weir-testkit --bin weir-soak -- --seconds $(SOAK_SECONDS) --seed "$(SOAK_SEED)"
	@[ $(SOAK_FUZZ_SECONDS) = 0 ] || $(MAKE) fuzz FUZZ_SECONDS=$(SOAK_FUZZ_SECONDS)

crowd: ## rolling deploys behind nginx and HAProxy, and the end of an instance, with CROWD (3000) clients
	@.ci/setup test
	WEIR_TEST_CLIENTS=$(CROWD) cargo test --locked -p weir --test rolling --test shutdown -- --test-threads=1 rolls survives_a_crash never_read

# Both run at once, in an instance that is built for tests: for some twenty minutes on two cores.
appends: ## APPENDS (1000000) to a durable stream in a file, and on Redis: memory stays flat
	@.ci/setup test
	WEIR_TEST_APPENDS=$(APPENDS) cargo test --locked -p weir --test appends -- --nocapture

bench: ## measure end to end, or BENCH="fanout idle …" alone; then each step of the core
	@.ci/setup bench
	cargo build --release --locked -p weir -p weir-benches
	@status=0; \
	cargo run --release --locked --quiet -p weir-benches --bin weir-bench -- $(BENCH) || status=$$?; \
	cargo bench --locked --quiet -p weir-benches && exit $$status

churn: ## clients come and go for CHURN_SECONDS (3600) beside other work: memory stays flat, nothing is lost
	@.ci/setup bench
	cargo build --release --locked -p weir -p weir-benches
	CHURN_SECONDS=$(CHURN_SECONDS) nice -n 5 cargo run --release --locked --quiet -p weir-benches --bin weir-bench -- churn

fuzz: export CARGO_PROFILE_RELEASE_LTO = off
fuzz: ## fuzz every target for FUZZ_SECONDS (60); needs the nightly toolchain
	@.ci/setup fuzz
	@for target in $$(cargo +nightly fuzz list --fuzz-dir crates/weir-fuzz); do \
	    mkdir -p crates/weir-fuzz/corpus/$$target; \
	    cargo +nightly fuzz run --fuzz-dir crates/weir-fuzz $$target \
	        crates/weir-fuzz/corpus/$$target crates/weir-fuzz/seeds/$$target \
	        -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 -max_len=8192 || exit; \
	done

clean: ## remove everything that was built
	cargo clean
	rm -rf .tools
