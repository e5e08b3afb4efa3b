//! Builds the tests' own components, as `host/build.rs` builds the plugin, and tells the tests where they are.

#[path = "../host/build/nested.rs"]
mod nested;

use std::path::Path;
use std::process::ExitCode;

/// Each package, its folder, and the variable that the tests find its file in.
const COMPONENTS: [(&str, &str, &str); 3] = [
    ("hostile-plugin", "tests/plugins/hostile", "HOSTILE_PLUGIN_WASM"),
    ("hpc-command", "tests/runtimes/command", "HPC_COMMAND_WASM"),
    ("hpc-stand-in", "tests/runtimes/stand-in", "HPC_STAND_IN_WASM"),
];

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".."));
    for input in ["wit", "Cargo.lock", "host/build/nested.rs"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    for (package, folder, variable) in COMPONENTS {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
        match nested::component(root, package) {
            Ok(wasm) => println!("cargo::rustc-env={variable}={}", wasm.display()),
            Err(message) => {
                println!("cargo::error={message}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
