# Thin: each of these calls cargo. What they need beyond a Rust toolchain, they install (see .ci/).
.PHONY: demo test bench fuzz wasm-target lint

# The Rust target that the component is built for; does nothing where it is there.
wasm-target:
	@.ci/wasm-target

# Builds everything, starts a FirecREST server on this machine, and takes one job through its whole life.
demo: wasm-target
	@cargo build --quiet -p aiida-firecrest-host -p firecrest-simulator
	@cargo run --quiet -p firecrest-simulator -- --run cargo run --quiet -p aiida-firecrest-host -- demo

# Every test: the pure rules, the simulator, and the component driven from the host over sockets.
test: wasm-target
	@.ci/python
	cargo test --workspace

# Every parser of outside bytes, for SECONDS each (nightly and cargo-fuzz, installed where missing).
SECONDS ?= 30
fuzz:
	@.ci/fuzz $(SECONDS)

# Formatting, lints and documentation, without a warning.
lint: wasm-target
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	.ci/wasm-clippy
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
