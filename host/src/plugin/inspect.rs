//! What a WebAssembly file says of itself, read without compiling it.

use crate::limits::PLUGIN_SIZE;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use wasmparser::{BinaryReader, Encoding, Parser, Payload, ProducersSectionReader};

/// The contract's package.
const PACKAGE: &str = "aiida:hpc/";
/// What a plugin has to export, and the version that this host speaks: of 0.x versions those with the same x fit.
const EXPORTS: [&str; 3] = ["configuration", "transport", "scheduler"];
const MAJOR_MINOR: &str = "0.1.";
/// What a plugin may import. `wasi:cli` comes with a standard library; it is linked to nothing: no arguments, no environment.
/// `wasi:sockets` comes with the C library that interpreters of other languages are built on; behind it is nothing at all: calling any of
/// it is a trap.
const IMPORTS: [&str; 20] = [
    "aiida:hpc/permissions",
    "aiida:hpc/progress",
    "aiida:hpc/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:filesystem/types",
    "wasi:filesystem/preopens",
    "wasi:http/types",
    "wasi:http/outgoing-handler",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/std",
    "wasi:cli/terminal-",
    super::sockets::PACKAGE,
];

/// Why a file cannot be loaded as a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error("plugin {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        error: std::io::Error,
    },
    /// Neither a file nor a link to one.
    #[error("plugin {}: is not a regular file", path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// Nothing of that name in a folder of plugins.
    #[error("there is no plugin {name} in {}, which has {}: a file is named with its folder, as in ./{name}.wasm", folder.display(), list(.others))]
    Unknown {
        /// The name.
        name: String,
        /// The folder.
        folder: PathBuf,
        /// The names that are there.
        others: Vec<String>,
    },
    /// Past the size that this host reads and compiles.
    #[error("the plugin is larger than {} MiB, the most that this host compiles", PLUGIN_SIZE >> 20)]
    TooLarge,
    /// Not WebAssembly at all.
    #[error("the plugin is no WebAssembly file")]
    NotWasm,
    /// A core module.
    #[error("the plugin is a core WebAssembly module, not a component: build it for wasm32-wasip2")]
    CoreModule,
    /// WebAssembly that is damaged, or that wasmtime does not accept.
    #[error("the plugin is no valid component: {0}")]
    Invalid(String),
    /// A component that lacks an interface of the contract.
    #[error("the plugin does not export {missing}: it is of another contract (it exports {})", list(.exports))]
    OtherContract {
        /// The interface that it lacks.
        missing: String,
        /// What it does export.
        exports: Vec<String>,
    },
    /// The right contract in a version that does not fit.
    #[error("the plugin exports {found}, and this host speaks version 0.1: {}", advice(.found))]
    OtherVersion {
        /// The interface with its version.
        found: String,
    },
    /// It wants something that no plugin gets.
    #[error("the plugin imports {import}, which this host does not give")]
    ForbiddenImport {
        /// The interface.
        import: String,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// What to do about another version: whoever is behind goes on.
fn advice(found: &str) -> &'static str {
    let version = found.split_once('@').map_or("", |(_, version)| version);
    let mut numbers = version.split('.').map(|number| number.parse::<u64>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) > (0, 1) => {
            "the plugin is newer than this host, so update aiida-firecrest, or take an older build of the plugin"
        }
        (Some(_), Some(_)) => "the plugin is older than this host, so take a newer build of it, made for aiida:hpc 0.1",
        _ => "the plugin names no version, so take a build of it that was made for aiida:hpc 0.1",
    }
}

/// A component's outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Bytes of the file.
    pub size: u64,
    /// Interfaces that it imports, with versions, in the file's order.
    pub imports: Vec<String>,
    /// Interfaces that it exports, with versions, in the file's order.
    pub exports: Vec<String>,
    /// The version of `aiida:hpc` that it exports, if it does.
    pub contract: Option<String>,
    /// The SHA-256 of the file, in lower-case hexadecimal digits.
    pub sha256: String,
    /// The component's licence, as an SPDX expression, if the file has one.
    pub licence: Option<String>,
    /// Where its source is, if the file says so.
    pub source: Option<String>,
    /// The component's name, if the file has one.
    pub name: Option<String>,
    /// The component's version, if the file has one.
    pub version: Option<String>,
    /// What made it: kind (`language`, `processed-by`, …), tool and version.
    pub producers: Vec<(String, String, String)>,
}

impl Inspection {
    /// Looks at a component's bytes.
    ///
    /// # Errors
    /// [`LoadError::NotWasm`], [`LoadError::CoreModule`] or [`LoadError::Invalid`]. Whether the contract is the right one is
    /// another question, see [`Inspection::check`].
    pub fn of(bytes: &[u8]) -> Result<Inspection, LoadError> {
        if bytes.len() as u64 > PLUGIN_SIZE {
            return Err(LoadError::TooLarge);
        }
        if !bytes.starts_with(b"\0asm") {
            return Err(LoadError::NotWasm);
        }
        let invalid = |error: wasmparser::BinaryReaderError| LoadError::Invalid(error.message().to_owned());
        let mut seen = Inspection {
            size: bytes.len() as u64,
            imports: Vec::new(),
            exports: Vec::new(),
            contract: None,
            sha256: Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
            licence: None,
            source: None,
            name: None,
            version: None,
            producers: Vec::new(),
        };
        // Sections of the modules inside are passed over, but for who made them.
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(invalid)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(LoadError::CoreModule),
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        seen.imports.push(import.map_err(invalid)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        seen.exports.push(export.map_err(invalid)?.name.name.to_owned());
                    }
                }
                Payload::CustomSection(section) => match section.name() {
                    "producers" => seen.read_producers(section.data(), section.data_offset()),
                    "licenses" if depth == 0 => seen.licence = text(section.data()),
                    "source" if depth == 0 => seen.source = text(section.data()),
                    "version" if depth == 0 => seen.version = text(section.data()),
                    "component-name" if depth == 0 => seen.read_name(section.data(), section.data_offset()),
                    _ => {}
                },
                _ => {}
            }
        }
        seen.contract = seen
            .exports
            .iter()
            .filter_map(|name| name.strip_prefix(PACKAGE))
            .find_map(|name| name.split_once('@'))
            .map(|(_, version)| version.to_owned());
        Ok(seen)
    }

    /// Can this host load it?
    ///
    /// # Errors
    /// [`LoadError::OtherContract`], [`LoadError::OtherVersion`] or [`LoadError::ForbiddenImport`].
    pub fn check(&self) -> Result<(), LoadError> {
        for interface in EXPORTS {
            let wanted = format!("{PACKAGE}{interface}");
            let Some(found) = self.exports.iter().find(|name| name.split('@').next() == Some(&wanted)) else {
                return Err(LoadError::OtherContract { missing: wanted, exports: self.exports.clone() });
            };
            if !found.split_once('@').is_some_and(|(_, version)| version.starts_with(MAJOR_MINOR)) {
                return Err(LoadError::OtherVersion { found: found.clone() });
            }
        }
        match self.imports.iter().find(|name| !allowed(name)) {
            Some(import) => Err(LoadError::ForbiddenImport { import: import.clone() }),
            None => Ok(()),
        }
    }

    fn read_producers(&mut self, data: &[u8], offset: usize) {
        let Ok(fields) = ProducersSectionReader::new(BinaryReader::new(data, offset)) else {
            return;
        };
        for field in fields.into_iter().flatten() {
            for value in field.values.into_iter().flatten() {
                let producer = (field.name.to_owned(), value.name.to_owned(), value.version.to_owned());
                if !self.producers.contains(&producer) {
                    self.producers.push(producer);
                }
            }
        }
    }

    fn read_name(&mut self, data: &[u8], offset: usize) {
        for part in wasmparser::ComponentNameSectionReader::new(BinaryReader::new(data, offset)).flatten() {
            if let wasmparser::ComponentName::Component { name, .. } = part {
                self.name = Some(name.to_owned());
            }
        }
    }
}

fn allowed(import: &str) -> bool {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    let fits = if name.starts_with("wasi:") { version.starts_with("0.2.") } else { version.starts_with(MAJOR_MINOR) };
    let listed = |entry: &str| {
        if entry.ends_with("/std") || entry.ends_with(['-', '/']) { name.starts_with(entry) } else { name == entry }
    };
    fits && IMPORTS.iter().any(|entry| listed(entry))
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(imports: &[&str], exports: &[&str]) -> Inspection {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Inspection {
            size: 0,
            imports: owned(imports),
            exports: owned(exports),
            contract: None,
            sha256: String::new(),
            licence: None,
            source: None,
            name: None,
            version: None,
            producers: vec![],
        }
    }

    const GOOD: [&str; 3] = ["aiida:hpc/configuration@0.1.0", "aiida:hpc/transport@0.1.0", "aiida:hpc/scheduler@0.1.3"];

    #[test]
    fn the_contract_and_its_imports_are_accepted() {
        let imports = [
            "aiida:hpc/progress@0.1.0",
            "wasi:io/streams@0.2.12",
            "wasi:cli/stderr@0.2.3",
            "wasi:cli/terminal-stdin@0.2.3",
            "wasi:sockets/tcp@0.2.3",
        ];
        outside(&imports, &GOOD).check().unwrap();
    }

    #[test]
    fn another_contract_or_version_is_named() {
        let shown = |exports: &[&str]| outside(&[], exports).check().unwrap_err().to_string();
        assert!(shown(&[]).contains("does not export aiida:hpc/configuration"));
        assert!(shown(&["wasi:http/incoming-handler@0.2.0"]).contains("it exports wasi:http/incoming-handler@0.2.0"));
        assert!(shown(&["aiida:hpc/configuration@0.2.0"]).contains("exports aiida:hpc/configuration@0.2.0"));
        for (version, advice) in
            [("@0.2.0", "update aiida-firecrest"), ("@1.0.0", "update"), ("@0.0.9", "older than"), ("", "no version")]
        {
            let line = shown(&[&format!("aiida:hpc/configuration{version}")]);
            assert!(line.contains(advice), "{version}: {line}");
        }
    }

    #[test]
    fn imports_beyond_the_list_are_refused() {
        for import in [
            "wasi:sockets/tcp@0.3.0",
            "wasi:io/streams@0.3.0",
            "wasi:keyvalue/store@0.2.0",
            "aiida:hpc/progress@0.2.0",
            "env",
        ] {
            assert!(matches!(outside(&[import], &GOOD).check(), Err(LoadError::ForbiddenImport { .. })), "{import}");
        }
    }

    #[test]
    fn what_is_no_component_is_told_apart() {
        assert!(matches!(Inspection::of(b"hello"), Err(LoadError::NotWasm)));
        assert!(matches!(Inspection::of(b"\0asm\x01\0\0\0"), Err(LoadError::CoreModule)));
        assert!(matches!(Inspection::of(b"\0asm\x0d\0\x01\0\xff\xff"), Err(LoadError::Invalid(_))));
    }
}
