//! What a person granted to plugins, in one file: `plugin-grants.json` in the user's configuration folder
//! (`$XDG_CONFIG_HOME/aiida-firecrest`, else `~/.config/aiida-firecrest`), for nobody else to write.
//!
//! A grant names the plugin by the SHA-256 of its `.wasm`: another file under the same name has none, and a manifest that asks for more
//! than was granted is refused until a person has seen it.

use super::manifest::Asks;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes of the file: some thousand grants.
const MOST: u64 = 4 << 20;

/// The grants of one user.
#[derive(Debug)]
pub struct GrantBook {
    path: PathBuf,
    grants: BTreeMap<String, Grant>,
}

/// One plugin's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    /// Its name then, for people who read the file.
    name: String,
    granted: Asks,
}

impl GrantBook {
    /// The user's own.
    ///
    /// # Errors
    /// [`Error::Options`]: the user has no home. Otherwise as [`GrantBook::open`].
    pub fn user() -> Result<GrantBook> {
        use etcetera::BaseStrategy;
        let base = etcetera::choose_base_strategy()
            .map_err(|_| Error::options("plugin grants", "this user has no home folder to keep them in"))?;
        GrantBook::open(base.config_dir().join("aiida-firecrest").join("plugin-grants.json"))
    }

    /// The grants in a file; none where there is no file yet.
    ///
    /// # Errors
    /// [`Error::Options`]: it is malformed, too large, or others may write to it. [`Error::Io`]: it cannot be read.
    pub fn open(path: impl Into<PathBuf>) -> Result<GrantBook> {
        let path = path.into();
        let metadata = match path.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(GrantBook { path, grants: BTreeMap::new() });
            }
            Err(error) => return Err(Error::io(path, error)),
        };
        let failed = |reason: &str| Error::options(path.display(), reason);
        if !metadata.is_file() || metadata.len() > MOST {
            return Err(failed("is no file of plugin grants"));
        }
        if others_write(&metadata) {
            return Err(failed("others may write to it, so it grants nothing: chmod 600, after a look at it"));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| Error::io(&path, error))?;
        let grants =
            serde_json::from_str(&text).map_err(|error| failed(&format!("is no file of plugin grants: {error}")))?;
        Ok(GrantBook { path, grants })
    }

    /// Where it is kept.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the plugin with this SHA-256 was granted.
    #[must_use]
    pub fn granted(&self, sha256: &str) -> Option<&Asks> {
        self.grants.get(sha256).map(|grant| &grant.granted)
    }

    /// Grants these, in place of what was granted before, and saves it.
    ///
    /// # Errors
    /// [`Error::Io`]: it cannot be saved.
    pub fn grant(&mut self, name: &str, sha256: &str, asks: &Asks) -> Result<()> {
        self.grants.insert(sha256.to_owned(), Grant { name: name.to_owned(), granted: asks.clone() });
        self.save()
    }

    /// Takes back what was granted to the plugin with this SHA-256 or this name, and saves it. How many grants that were.
    ///
    /// # Errors
    /// [`Error::Io`]: it cannot be saved.
    pub fn revoke(&mut self, name_or_sha256: &str) -> Result<usize> {
        let before = self.grants.len();
        self.grants.retain(|sha256, grant| sha256 != name_or_sha256 && grant.name != name_or_sha256);
        let revoked = before - self.grants.len();
        if revoked > 0 {
            self.save()?;
        }
        Ok(revoked)
    }

    /// In one step, so that whoever reads it meanwhile reads all of it; readable by the user alone.
    fn save(&self) -> Result<()> {
        let failed = |error: std::io::Error| Error::io(&self.path, error);
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed)?;
        // A temporary file is made for its owner alone (0600).
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let text = serde_json::to_string_pretty(&self.grants).map_err(|error| failed(error.into()))?;
        file.write_all(format!("{text}\n").as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(&self.path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

#[cfg(unix)]
fn others_write(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o022 != 0
}

#[cfg(not(unix))]
fn others_write(_metadata: &std::fs::Metadata) -> bool {
    false
}
