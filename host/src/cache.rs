//! The compiled-code cache: one file for each component and kind of machine, in the user's cache folder.
//!
//! Compiling the component takes a second or more; from the cache it takes milliseconds, because the file is compiled code as it
//! lies in memory and is only mapped: nothing is read, unpacked or copied before it runs, and processes share its pages. (wasmtime's
//! own cache hashes the component and unpacks its entry each time, which is most of 17 ms.)
//!
//! - **Names.** A file is named by the component (SHA-256, or what the build says of the built-in one) and by a hash of wasmtime's
//!   version, its settings and the machine's features, so a stale entry is never found. wasmtime checks the latter again.
//! - **Trust.** Compiled code is run as it is. So a folder or a file that others can write to, or that belongs to somebody else, is not
//!   used; and a file appears under its name only when it is whole and on the disk, and is never written to again.
//! - **Faults.** A cache that cannot be used (a read-only home, a full disk, a damaged file) is no error: code is compiled then.
//! - **Age.** Entries that nobody has used for [`KEPT`] go when a new one is made.

use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use wasmtime::component::Component;

/// How long an entry is kept that nobody uses.
pub const KEPT: Duration = Duration::from_secs(60 * 24 * 3600);

/// A use is noted once in so long: one write a day, not one a start.
const NOTED: Duration = Duration::from_secs(24 * 3600);

const SUFFIX: &str = "cwasm";

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

    /// Compiled code, from the folder or put there. `name`: what is known to tell this component from all others; none: its hash.
    pub(crate) fn component(
        &self,
        engine: &wasmtime::Engine,
        bytes: &[u8],
        name: Option<&str>,
    ) -> wasmtime::Result<Component> {
        let Some(folder) = self.folder() else { return Component::from_binary(engine, bytes) };
        let path = folder.join(entry(engine, bytes, name));
        let unusable =
            |error: &dyn std::fmt::Display| tracing::debug!(path = %path.display(), %error, "no compiled code");
        match load(engine, &folder, &path) {
            Ok(component) => return Ok(component),
            Err(error) => unusable(&format!("{error:#}")),
        }
        let component = Component::from_binary(engine, bytes)?;
        if let Err(error) = component.serialize().and_then(|code| Ok(store(&folder, &path, &code)?)) {
            unusable(&error);
        }
        Ok(component)
    }
}

/// An entry's file name.
fn entry(engine: &wasmtime::Engine, bytes: &[u8], name: Option<&str>) -> String {
    let mut machine = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut machine);
    let name = name.map_or_else(|| format!("sha256-{:x}", Sha256::digest(bytes)), |name| format!("built-in-{name}"));
    format!("{name}-{:016x}.{SUFFIX}", machine.finish())
}

fn load(engine: &wasmtime::Engine, folder: &Path, path: &Path) -> wasmtime::Result<Component> {
    let file = path.metadata()?;
    if !(ours(&folder.metadata()?) && ours(&file)) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others can write to it").into());
    }
    // SAFETY: what lies under this name was written by `store`, whole, from `Component::serialize`, by this user (`ours`), and nobody
    // writes to it again: a newer one takes its place by a rename.
    let component = unsafe { Component::deserialize_file(engine, path) }?;
    note_use(path, &file);
    Ok(component)
}

fn store(folder: &Path, path: &Path, code: &[u8]) -> io::Result<()> {
    make(folder)?;
    if !ours(&folder.metadata()?) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others can write to the folder"));
    }
    // Made for this user alone (0600).
    let mut file = tempfile::Builder::new().prefix(".compiled-").tempfile_in(folder)?;
    file.write_all(code)?;
    // Before the name: a power cut must not leave a whole name on half a file.
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sweep(folder);
    Ok(())
}

#[cfg(unix)]
fn make(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}

/// Can nobody but this user (and root) have written it?
#[cfg(unix)]
fn ours(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let user = rustix::process::geteuid().as_raw();
    [0, user].contains(&metadata.uid()) && metadata.mode() & 0o022 == 0
}

#[cfg(not(unix))]
fn ours(_metadata: &Metadata) -> bool {
    true
}

/// An entry's time of modification is its latest use.
fn note_use(path: &Path, known: &Metadata) {
    let now = SystemTime::now();
    if age(known, now).is_some_and(|age| age > NOTED)
        && let Ok(file) = File::options().append(true).open(path)
    {
        let _ = file.set_modified(now);
    }
}

/// Takes out what nobody has used for a long time.
fn sweep(folder: &Path) {
    let now = SystemTime::now();
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        let mine = path.extension().is_some_and(|extension| extension == SUFFIX)
            || entry.file_name().to_string_lossy().starts_with(".compiled-");
        let old = || entry.metadata().ok().and_then(|metadata| age(&metadata, now)).is_some_and(|age| age > KEPT);
        if mine && old() {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn age(metadata: &Metadata, now: SystemTime) -> Option<Duration> {
    now.duration_since(metadata.modified().ok()?).ok()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn files(folder: &Path) -> Vec<PathBuf> {
        folder.read_dir().into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn compiled_code_is_kept_found_and_mended() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("cache");
        let (engine, cache) = (wasmtime::Engine::default(), CodeCache::Folder(folder.clone()));
        cache.component(&engine, EMPTY, None).unwrap();
        let entries = files(&folder);
        assert_eq!(entries.len(), 1);
        load(&engine, &folder, &entries[0]).unwrap();

        // Cut off, or not code at all.
        for damaged in [&b""[..], b"\x7fELF", &fs::read(&entries[0]).unwrap()[..100]] {
            fs::write(&entries[0], damaged).unwrap();
            load(&engine, &folder, &entries[0]).unwrap_err();
            cache.component(&engine, EMPTY, None).unwrap();
            load(&engine, &folder, &entries[0]).unwrap();
        }
        assert_eq!(files(&folder), entries);
    }

    #[test]
    fn what_others_can_write_to_is_not_run() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("cache");
        let (engine, cache) = (wasmtime::Engine::default(), CodeCache::Folder(folder.clone()));
        cache.component(&engine, EMPTY, Some("x")).unwrap();
        let entry = files(&folder).remove(0);
        set_mode(&entry, 0o666);
        load(&engine, &folder, &entry).unwrap_err();
        set_mode(&entry, 0o600);
        load(&engine, &folder, &entry).unwrap();
        set_mode(&folder, 0o777);
        load(&engine, &folder, &entry).unwrap_err();
        fs::remove_file(&entry).unwrap();
        cache.component(&engine, EMPTY, Some("x")).unwrap();
        assert!(files(&folder).is_empty(), "nothing is put there either");
    }

    #[test]
    fn settings_and_components_have_entries_of_their_own() {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let (one, other) = (wasmtime::Engine::default(), wasmtime::Engine::new(&config).unwrap());
        let names =
            [entry(&one, EMPTY, None), entry(&other, EMPTY, None), entry(&one, b"", None), entry(&one, b"", Some("x"))];
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name}");
        }
        assert_eq!(entry(&one, EMPTY, None), names[0]);
    }

    #[test]
    fn what_nobody_uses_goes_and_a_use_is_noted() {
        let root = tempfile::tempdir().unwrap();
        let [old, used, other] = ["old.cwasm", "used.cwasm", "other.txt"].map(|name| root.path().join(name));
        let long_ago = SystemTime::now() - KEPT - NOTED;
        for path in [&old, &used, &other] {
            File::create(path).unwrap().set_modified(long_ago).unwrap();
        }
        note_use(&used, &used.metadata().unwrap());
        sweep(root.path());
        assert!(!old.exists() && used.exists() && other.exists());
    }
}
