# Thin: each of these calls cargo. What they need beyond a Rust toolchain, they install (see .ci/).
.PHONY: demo demo-aiida bench bench-process bench-rules test fuzz dist wasm-target lint

# The two programs, with the very features that they have beside all tests: nothing is compiled twice.
PROGRAMS = -p aiida-firecrest-host -p firecrest-simulator -p aiida-firecrest-tests
DEBUG = "$${CARGO_TARGET_DIR:-target}/debug"

# The Rust target that the component is built for; does nothing where it is there.
wasm-target:
	@.ci/wasm-target

# Builds everything, starts a FirecREST server on this machine, and takes one job through its whole life.
demo: wasm-target
	@cargo build --quiet --bins $(PROGRAMS)
	@$(DEBUG)/firecrest-simulator --run $(DEBUG)/aiida-firecrest demo

# AiiDA on the same server: a temporary profile, a computer, ten calculations.
demo-aiida: wasm-target
	@cargo build --quiet --bins $(PROGRAMS)
	@venv=$$(.ci/aiida) && $(DEBUG)/firecrest-simulator --run "$$venv/bin/python" host/python/demo.py

# Every test: the pure rules, the simulator, the component driven from the host over sockets, hosts that are not ours, AiiDA with its
# plugin, and the Node package
# (against the simulator that cargo has just built for its own tests).
test: wasm-target
	@.ci/python
	cargo test --workspace
	@python3 tests/runtimes/test_runtimes.py
	@python3 tests/dist/test_registry.py
	@.ci/apt /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
	@venv=$$(.ci/aiida) && cd host/python && "$$venv/bin/python" -m pytest -q
	@PATH="$$(.ci/node):$$PATH" && cd host/node && npm ci --no-audit --no-fund && npm run build && npm run typecheck && npm test

# Compares with what a user would pick instead, and writes BENCHMARKS.md; with QUICK=1 within five minutes after the build. It takes the
# processor before others where it may (root).
bench: wasm-target
	cargo build --release --workspace
	@venv=$$(.ci/bench) && nice -n $$([ "$$(id -u)" = 0 ] && echo -15 || echo 0) \
		"$${CARGO_TARGET_DIR:-target}/release/firecrest-bench" --venv "$$venv" $(if $(QUICK),--quick) $(BENCH)

# Every parser of outside bytes, for SECONDS each (nightly and cargo-fuzz, installed where missing).
SECONDS ?= 30
fuzz:
	@.ci/fuzz $(SECONDS)

# What the sandbox and a session cost inside the process (host/benches/README.md); QUICK=1 for a first look.
bench-process: wasm-target
	cargo bench -p aiida-firecrest-host --bench process -- $(if $(QUICK),--quick)

# Instructions of the hot rules against the counts in host/benches/rules.txt: more than 5 % above them fails, BLESS=1 accepts.
bench-rules: wasm-target
	@.ci/apt valgrind valgrind
	cargo bench -p aiida-firecrest-host --bench rules

# What is published, in target/dist: the component, its contract, the wheel, the npm package, the command line, what they are made of.
dist: wasm-target
	@.ci/dist

# Formatting, lints and documentation, without a warning.
lint: wasm-target
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	.ci/wasm-clippy
	@# The fuzz targets are a workspace of their own; libFuzzer is not wanted for looking at them.
	CUSTOM_LIBFUZZER_PATH=/nowhere/libfuzzer.a cargo check --quiet --manifest-path tests/fuzz/Cargo.toml --target-dir "$${CARGO_TARGET_DIR:-target}/fuzz-check"
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
