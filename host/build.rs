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
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo::rerun-if-env-changed=AIIDA_FIRECREST_COMPONENT");
    match component() {
        Ok(wasm) => {
            println!("cargo::rustc-env=AIIDA_FIRECREST_WASM={}", wasm.display());
            println!("cargo::rustc-env=AIIDA_FIRECREST_NAME={}", name(&wasm));
            ExitCode::SUCCESS
        }
        Err(message) => {
            println!("cargo::error={message}");
            ExitCode::FAILURE
        }
    }
}

/// What tells this component from those of other builds: for the compiled-code cache, which then need not hash it at every start.
fn name(wasm: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    let bytes = fs::read(wasm).unwrap_or_default();
    bytes.hash(&mut hasher);
    format!("{}-{}-{:016x}", env!("CARGO_PKG_VERSION"), bytes.len(), hasher.finish())
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
    let wasm = nested::component(&root, "aiida-firecrest")?;
    let bytes = fs::read(&wasm).map_err(|error| format!("{}: {error}", wasm.display()))?;
    if let Some(bare) = without_names(&bytes) {
        fs::write(&wasm, bare).map_err(|error| format!("{}: {error}", wasm.display()))?;
    }
    Ok(wasm)
}

/// The component without its section of debugging names, which the linker writes whatever it is told; none where there is nothing to
/// leave out. A section is its id, its length as LEB128, and its content; a custom one (id 0) begins with its name (Component Model,
/// Binary.md).
fn without_names(wasm: &[u8]) -> Option<Vec<u8>> {
    let (head, mut rest) = wasm.split_at_checked(8)?;
    let mut bare = head.to_vec();
    while let [id, after @ ..] = rest {
        let (mut length, mut used) = (0_usize, 0);
        loop {
            let byte = *after.get(used)?;
            length |= usize::from(byte & 0x7f).checked_shl(7 * used as u32)?;
            used += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let content = after.get(used..used.checked_add(length)?)?;
        let (section, behind) = rest.split_at(1 + used + length);
        if !(*id == 0 && content.get(1..).is_some_and(|content| content.starts_with(b"component-name"))) {
            bare.extend_from_slice(section);
        }
        rest = behind;
    }
    (bare.len() < wasm.len()).then_some(bare)
}
