//! Builds the hostile plugin, as `host/build.rs` builds the component, and tells the tests where it is.

#[path = "../host/build/nested.rs"]
mod nested;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".."));
    for input in ["tests/plugins/hostile", "wit", "Cargo.lock", "host/build/nested.rs"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    match nested::component(root, "hostile-plugin") {
        Ok(wasm) => {
            println!("cargo::rustc-env=HOSTILE_PLUGIN_WASM={}", wasm.display());
            ExitCode::SUCCESS
        }
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}
