//! A folder of plugins: for each one `NAME.wasm` and beside it its manifest `NAME.toml`.
//!
//! The user's own is `$XDG_DATA_HOME/aiida-firecrest/plugins`, else `~/.local/share/aiida-firecrest/plugins`.

use super::manifest::{Asks, Feature, Manifest, is_name};
use super::{GrantBook, Inspection, Plugin, read};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::policy::Policy;
use std::path::{Path, PathBuf};

/// The user's folder of plugins; none where the user has no home.
#[must_use]
pub fn user_folder() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    etcetera::choose_base_strategy().ok().map(|base| base.data_dir().join("aiida-firecrest").join("plugins"))
}

/// A plugin that was found: its bytes as they were read once, so that what is hashed is what is compiled.
pub struct Found {
    /// The name of its file, without `.wasm`.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What it asks for. None: it has no manifest, so it asks for nothing.
    pub manifest: Option<Manifest>,
    /// Its outside.
    pub inspection: Inspection,
    bytes: Vec<u8>,
}

impl Found {
    /// The plugin of this name in a folder. It has to have a manifest.
    ///
    /// # Errors
    /// [`Error::Load`]: not there (with the names that are), or no component. [`Error::Manifest`]: what is wrong with it.
    pub fn by_name(folder: &Path, name: &str) -> Result<Found> {
        let path = folder.join(format!("{name}.wasm"));
        if !is_name(name) || !path.exists() {
            return Err(super::LoadError::Unknown {
                name: name.to_owned(),
                folder: folder.to_owned(),
                others: names(folder),
            }
            .into());
        }
        let found = Found::in_file(&path)?;
        match found.manifest {
            Some(_) => Ok(found),
            None => Err(Error::Manifest {
                path: path.with_extension("toml"),
                reason: "is not there: a plugin in a folder says in it what it asks for".into(),
            }),
        }
    }

    /// The plugin in a file, with the manifest beside it, if there is one.
    ///
    /// # Errors
    /// As [`Found::by_name`].
    pub fn in_file(path: &Path) -> Result<Found> {
        let bytes = read(path)?;
        let inspection = Inspection::of(&bytes)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let beside = path.with_extension("toml");
        let manifest = if beside.symlink_metadata().is_ok() { Some(Manifest::from_file(&beside)?) } else { None };
        if let Some(manifest) = manifest.as_ref().filter(|manifest| manifest.name != name) {
            let reason = format!(
                "name: it is {}, and its file is called {name}: two plugins could have one name",
                manifest.name
            );
            return Err(Error::Manifest { path: beside, reason });
        }
        Ok(Found { name, path: path.to_owned(), manifest, inspection, bytes })
    }

    /// What it asks for.
    #[must_use]
    pub fn asks(&self) -> Asks {
        self.manifest.as_ref().map(|manifest| manifest.asks.clone()).unwrap_or_default()
    }

    /// Compiles it.
    ///
    /// # Errors
    /// [`Error::Load`] says why it cannot be a plugin.
    pub fn load(&self, engine: &Engine) -> Result<Plugin> {
        Plugin::from_bytes(engine, &self.bytes)
    }

    /// Does the component work with more of WASI than its manifest says? Without a manifest nothing is said.
    ///
    /// # Errors
    /// [`Error::Manifest`] names the package.
    pub fn check_features(&self) -> Result<()> {
        let Some(manifest) = &self.manifest else { return Ok(()) };
        for feature in [Feature::Http, Feature::Filesystem] {
            let imports =
                self.inspection.imports.iter().any(|name| name.starts_with(&format!("{}/", feature.package())));
            if imports && !manifest.asks.wasi.contains(&feature) {
                let reason = format!("wasi: does not name {}, which the component imports", feature.package());
                return Err(Error::Manifest { path: self.path.with_extension("toml"), reason });
            }
        }
        Ok(())
    }

    /// The policy that a person granted it.
    ///
    /// # Errors
    /// [`Error::NotGranted`] says what it asks for and how to grant it.
    pub fn policy(&self, grants: &GrantBook) -> Result<Policy> {
        let asks = self.asks();
        let granted = grants.granted(&self.inspection.sha256);
        let beyond = granted.map_or_else(|| asks.beyond(&Asks::default()), |granted| asks.beyond(granted));
        if granted.is_none() || !beyond.is_empty() {
            return Err(Error::NotGranted {
                name: self.name.clone(),
                asks: if beyond.is_empty() { "nothing".into() } else { beyond.join(", ") },
                before: granted.is_some(),
            });
        }
        Ok(asks.policy())
    }
}

/// The plugins in a folder, sorted by name, each or what is wrong with it. A folder that is not there holds none.
///
/// # Errors
/// [`Error::Io`]: the folder cannot be read.
pub fn discover(folder: &Path) -> Result<Vec<(String, Result<Found>)>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    folder.read_dir().map_err(|error| Error::io(folder, error))?;
    Ok(names(folder).into_iter().map(|name| (name.clone(), Found::by_name(folder, &name))).collect())
}

/// Names of files that end in `.wasm`, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().to_string_lossy().strip_suffix(".wasm").map(str::to_owned))
        .collect();
    names.sort();
    names
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").field("name", &self.name).field("path", &self.path).finish_non_exhaustive()
    }
}
