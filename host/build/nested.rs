//! A nested build for the component's target, for build scripts: `host/build.rs` and `tests/build.rs` include this file.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
const RUSTFLAGS: &str = "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS";

/// Builds a package of this workspace as a component, in release mode. Where its file is.
pub(crate) fn component(root: &Path, package: &str) -> Result<PathBuf, String> {
    let toolchain = Toolchain::find()?;
    let folder = target_folder(root).join(toolchain.folder);

    let mut build = Command::new(&toolchain.cargo);
    build
        .current_dir(root)
        .args(["build", "--package", package, "--lib", "--release", "--target", TARGET, "--target-dir"])
        .arg(&folder);
    scrub(&mut build);
    // Programs unwind, and the component cannot: said aloud, it is a kilobyte smaller.
    build.env("CARGO_PROFILE_RELEASE_PANIC", "abort");
    toolchain.configure(&mut build)?;
    let output = build.output().map_err(|error| format!("cannot run {}: {error}", toolchain.cargo.display()))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(format!(
            "{package} does not build ({}): see above, or run cargo build --package {package} --target {TARGET}",
            output.status
        ));
    }
    let file = format!("release/{}.wasm", package.replace('-', "_"));
    let wasm = folder.join(TARGET).join(file);
    if wasm.is_file() { Ok(wasm) } else { Err(format!("the build left no {}", wasm.display())) }
}

/// The outer build's target folder. `OUT_DIR` is `<target>[/<triple>]/<profile>/build/<package>/out`.
fn target_folder(root: &Path) -> PathBuf {
    env::var_os("OUT_DIR")
        .map(PathBuf::from)
        .and_then(|out| out.ancestors().nth(4).map(Path::to_owned))
        .unwrap_or_else(|| root.join("target"))
}

struct Toolchain {
    rustc: PathBuf,
    cargo: PathBuf,
    folder: &'static str,
    debian: bool,
}

impl Toolchain {
    fn find() -> Result<Toolchain, String> {
        let path =
            |name: &str, otherwise: &str| env::var_os(name).map_or_else(|| PathBuf::from(otherwise), PathBuf::from);
        let current = Toolchain {
            rustc: path("RUSTC", "rustc"),
            cargo: path("CARGO", "cargo"),
            folder: "component",
            debian: false,
        };
        let debian = Toolchain {
            rustc: "/usr/bin/rustc".into(),
            cargo: "/usr/bin/cargo".into(),
            folder: "component-debian",
            debian: true,
        };
        [current, debian]
            .into_iter()
            .find(Toolchain::has_target)
            .ok_or_else(|| format!("no Rust toolchain here can build for {TARGET}: run `make wasm-target` once"))
    }

    /// A compiler without the target's standard library still prints where it would be.
    fn has_target(&self) -> bool {
        let mut rustc = Command::new(&self.rustc);
        rustc.args(["--print", "target-libdir", "--target", TARGET]);
        if self.debian {
            rustc.env_remove("LD_LIBRARY_PATH");
        }
        let Ok(output) = rustc.output() else { return false };
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        output.status.success()
            && folder.read_dir().is_ok_and(|entries| {
                entries.flatten().any(|entry| {
                    let name = entry.file_name();
                    let name = name.to_string_lossy();
                    name.starts_with("libstd-") && name.ends_with(".rlib")
                })
            })
    }

    fn configure(&self, build: &mut Command) -> Result<(), String> {
        build.env("RUSTC", &self.rustc);
        let mut flags = without_home();
        // The linker leaves every call and address at the five bytes of a relocation unless told, and refuses with debugging
        // information: the release profile strips it.
        flags.push("-Clink-arg=--compress-relocations".into());
        if !self.debian {
            build.env(RUSTFLAGS, flags.join(" "));
            // Which toolchain rustup's proxies stand for.
            if let Some(name) = env::var_os("RUSTUP_TOOLCHAIN") {
                build.env("RUSTUP_TOOLCHAIN", name);
            }
            return Ok(());
        }
        // The outer cargo points it at the other toolchain's libraries.
        build.env_remove("LD_LIBRARY_PATH");
        let path = env::var("PATH").unwrap_or_default();
        build.env("PATH", format!("/usr/bin:{path}"));
        if let Some(linker) = self.wasm_ld()? {
            flags.push(format!("-Clink-arg=--wasm-ld-path={}", linker.display()));
        }
        build.env(RUSTFLAGS, flags.join(" "));
        Ok(())
    }

    /// Debian's linker has the LLVM version in its name. None: a plain `wasm-ld` is on PATH.
    fn wasm_ld(&self) -> Result<Option<PathBuf>, String> {
        let output = Command::new(&self.rustc)
            .arg("-vV")
            .env_remove("LD_LIBRARY_PATH")
            .output()
            .map_err(|error| format!("cannot run {}: {error}", self.rustc.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let llvm = text
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: "))
            .and_then(|version| version.split('.').next())
            .ok_or_else(|| format!("{} -vV names no LLVM version", self.rustc.display()))?;
        let versioned = [format!("/usr/bin/wasm-ld-{llvm}"), format!("/usr/lib/llvm-{llvm}/bin/wasm-ld")];
        if let Some(found) = versioned.iter().map(PathBuf::from).find(|path| path.is_file()) {
            return Ok(Some(found));
        }
        let plain = env::var_os("PATH")
            .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join("wasm-ld").is_file()));
        if plain { Ok(None) } else { Err(format!("no wasm-ld-{llvm} here: run `make wasm-target` once")) }
    }
}

/// So that the component says the same wherever it was built, and names no folder of its builder's: what a panic tells of a library
/// is its name and version. A later flag takes precedence.
fn without_home() -> Vec<String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")));
    let Some(registry) = home.map(|home| home.join("registry/src")) else { return Vec::new() };
    let mut indexes: Vec<PathBuf> = registry.read_dir().into_iter().flatten().flatten().map(|e| e.path()).collect();
    indexes.sort();
    let folders = std::iter::once(&registry).chain(&indexes).map(|folder| folder.display().to_string());
    // Flags are split at blanks.
    folders.filter(|text| !text.contains(' ')).map(|text| format!("--remap-path-prefix={text}/=")).collect()
}

/// Takes out what the outer cargo and rustup put into the environment for *this* build; registries, proxies and the like stay.
fn scrub(build: &mut Command) {
    const KEPT: [&str; 7] =
        ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_TERM_", "RUSTUP_HOME"];
    const TAKEN: [&str; 8] =
        ["CARGO", "RUSTC", "RUSTFLAGS", "RUSTDOC", "RUSTUP_TOOLCHAIN", "CLIPPY_", "MAKEFLAGS", "DEP_"];
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let matches = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
        if matches(&TAKEN) && !matches(&KEPT) {
            build.env_remove(&name);
        }
    }
}
