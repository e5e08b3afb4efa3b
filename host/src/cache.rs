//! The compiled-code cache: wasmtime's own, in the user's cache folder.
//!
//! Compiling the component takes seconds in a debug build and a good part of one in a release build; from the cache it takes
//! milliseconds. Entries are keyed by the component's bytes, wasmtime's version and the machine's features, so a stale entry is
//! never used. A cache that cannot be used (a read-only home, a full disk) is no error: code is compiled then.

use std::path::{Path, PathBuf};
use wasmtime::{Cache, CacheConfig};

/// Where compiled code is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CodeCache {
    /// `aiida-firecrest` in the user's cache folder: `$XDG_CACHE_HOME`, else `~/.cache`.
    #[default]
    User,
    /// In this folder, which is made if missing.
    Folder(PathBuf),
    /// Nowhere: always compile.
    Off,
}

impl CodeCache {
    /// The cache's folder; none where it is off or the user has no home.
    #[must_use]
    pub fn folder(&self) -> Option<PathBuf> {
        use etcetera::BaseStrategy;
        match self {
            CodeCache::User => {
                etcetera::choose_base_strategy().ok().map(|base| base.cache_dir().join("aiida-firecrest"))
            }
            CodeCache::Folder(folder) => Some(folder.clone()),
            CodeCache::Off => None,
        }
    }

    pub(crate) fn open(&self) -> Option<Cache> {
        let folder = self.folder()?;
        match open(&folder) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::debug!(folder = %folder.display(), %error, "no compiled-code cache");
                None
            }
        }
    }
}

fn open(folder: &Path) -> wasmtime::Result<Cache> {
    // wasmtime takes absolute folders only.
    let folder = std::path::absolute(folder)?;
    std::fs::create_dir_all(&folder)?;
    let mut config = CacheConfig::new();
    config.with_directory(folder);
    Cache::new(config)
}
