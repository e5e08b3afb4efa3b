//! Builds the component (the root package, `../src`) and tells the library where the .wasm is.
//!
//! It runs again when `../src`, `../wit`, the root `Cargo.toml` or `Cargo.lock` changes. The build is a release build in a
//! target folder of its own: a nested cargo that shared the outer one's folder would wait for its lock for ever.
//!
//! The toolchain is the first of these that has the target `wasm32-wasip2`:
//!
//! | toolchain                            | target folder             |
//! |--------------------------------------|---------------------------|
//! | the one that builds this             | `target/component`        |
//! | Debian's, `/usr/bin/{rustc,cargo}`   | `target/component-debian` |
//!
//! With `AIIDA_FIRECREST_COMPONENT=FILE` nothing is built and that file is taken.

#[path = "build/nested.rs"]
mod nested;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo::rerun-if-env-changed=AIIDA_FIRECREST_COMPONENT");
    match component() {
        Ok(wasm) => {
            println!("cargo::rustc-env=AIIDA_FIRECREST_WASM={}", wasm.display());
            ExitCode::SUCCESS
        }
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

fn component() -> Result<PathBuf, String> {
    if let Some(ready) = env::var_os("AIIDA_FIRECREST_COMPONENT").filter(|value| !value.is_empty()) {
        let ready = PathBuf::from(ready);
        println!("cargo::rerun-if-changed={}", ready.display());
        return ready.canonicalize().map_err(|error| format!("AIIDA_FIRECREST_COMPONENT={}: {error}", ready.display()));
    }

    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().ok_or("host/ has no parent folder")?.to_owned();
    for input in ["src", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    nested::component(&root, "aiida-firecrest")
}
