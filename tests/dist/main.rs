//! Makes what is published of the component: `cargo run -p aiida-firecrest-tests --example dist -- COMPONENT.wasm FOLDER`.
//!
//! | file                          | what it is                                                                                |
//! |-------------------------------|-------------------------------------------------------------------------------------------|
//! | `aiida-firecrest-V.wasm`      | the component, with its name, version, licence, source and revision as sections           |
//! | `aiida-hpc-V.wasm`            | the contract as a WIT package in binary form, for `wkg` and other tools                   |
//! | `aiida-firecrest-V.cdx.json`  | the component's parts: a bill of materials (CycloneDX 1.5)                                |
//! | `aiida-firecrest-host-V.cdx.json` | the command line's parts, likewise                                                    |
//! | `SHA256SUMS`                  | of everything in the folder, for `sha256sum -c`                                           |
//!
//! The same sources give the same bytes: nothing here tells a time, a random number or a folder of this machine.

mod sbom;

use sha2::{Digest, Sha256};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use wasm_metadata::{AddMetadata, AddMetadataField, Description, Licenses, Revision, Source, Version};

const LICENCE: &str = env!("CARGO_PKG_LICENSE");
const SOURCE: &str = env!("CARGO_PKG_REPOSITORY");
const VERSION: &str = env!("CARGO_PKG_VERSION");
const DESCRIPTION: &str = "Moves files and runs jobs on a supercomputer through FirecREST";

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [component, folder] = &arguments[..] else {
        eprintln!("dist: two arguments are needed: the component and the folder to write to");
        return ExitCode::from(2);
    };
    match make(component, folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dist: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make(component: &Path, folder: &Path) -> Result<(), Box<dyn Error>> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    fs::create_dir_all(folder)?;
    let write = |name: String, bytes: &[u8]| fs::write(folder.join(name), bytes);
    let wasm = fs::read(component).map_err(|error| format!("{}: {error}", component.display()))?;
    write(format!("aiida-firecrest-{VERSION}.wasm"), &described(&wasm, root)?)?;
    write(format!("aiida-hpc-{}.wasm", "0.1.0"), &contract(&root.join("wit"))?)?;
    for (package, target) in [("aiida-firecrest", Some("wasm32-wasip2")), ("aiida-firecrest-host", None)] {
        let document = sbom::of(root, package, target)?;
        write(format!("{package}-{VERSION}.cdx.json"), format!("{document:#}\n").as_bytes())?;
    }
    write("SHA256SUMS".into(), sums(folder)?.as_bytes())?;
    Ok(())
}

/// The component, and what is to be known of it, in the sections that registries and `wasm-tools metadata show` read.
fn described(wasm: &[u8], root: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut set = AddMetadata::default();
    set.name = AddMetadataField::Set("aiida-firecrest".into());
    set.version = AddMetadataField::Set(Version::new(VERSION));
    set.description = AddMetadataField::Set(Description::new(DESCRIPTION));
    set.licenses = AddMetadataField::Set(Licenses::new(LICENCE)?);
    set.source = AddMetadataField::Set(Source::new(SOURCE)?);
    if let Some(id) = revision(root) {
        set.revision = AddMetadataField::Set(Revision::new(id));
    }
    Ok(set.to_wasm(wasm)?)
}

/// The commit, with a mark where something has been changed since; none outside of a repository.
fn revision(root: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(root).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(git(&["rev-parse", "HEAD"])? + if changed.is_empty() { "" } else { "-changed" })
}

fn contract(wit: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_dir(wit)?;
    Ok(wit_component::encode(&resolve, package)?)
}

fn sums(folder: &Path) -> Result<String, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_file() && name != "SHA256SUMS" {
            names.push(name);
        }
    }
    names.sort();
    let mut text = String::new();
    for name in names {
        let sum = Sha256::digest(fs::read(folder.join(&name))?);
        let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!("{sum}  {name}\n");
    }
    Ok(text)
}
