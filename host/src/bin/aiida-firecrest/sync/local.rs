//! This machine's side: a walk that follows no symlink.

use super::plan::{Item, Kind, Tree};
use crate::output::Failure;
use aiida_firecrest_host::Error;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

pub(super) fn scan(root: &Path) -> Result<Tree, Failure> {
    let mut tree = Tree::new();
    let mut open = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = open.pop() {
        let failed = |error| Error::io(&folder, error);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let place = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                return Err(Failure::usage(&place.to_string_lossy(), "the name is not UTF-8, and cannot be moved"));
            };
            let path = format!("{prefix}{name}");
            let failed = |error| Error::io(&place, error);
            let metadata = fs::symlink_metadata(&place).map_err(failed)?;
            let kind = if metadata.is_dir() {
                open.push((place.clone(), format!("{path}/")));
                Kind::Directory
            } else if metadata.is_symlink() {
                let target = fs::read_link(&place).map_err(failed)?;
                match target.into_os_string().into_string() {
                    Ok(target) => Kind::Link(target),
                    Err(_) => Kind::Other,
                }
            } else if metadata.is_file() {
                Kind::File
            } else {
                Kind::Other
            };
            let modified = metadata.modified().ok().map(unix);
            tree.insert(path, Item { kind, bytes: metadata.len(), mode: mode(&metadata), modified });
        }
    }
    Ok(tree)
}

/// Whole seconds since 1970, rounded down.
fn unix(time: std::time::SystemTime) -> i64 {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => seconds(since),
        Err(before) => -seconds(before.duration()) - i64::from(before.duration().subsec_nanos() > 0),
    }
}

#[cfg(unix)]
fn mode(metadata: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode(_metadata: &fs::Metadata) -> u32 {
    0o644
}

/// Sets permission bits where this system has them.
#[cfg(unix)]
pub(super) fn set_mode(place: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(place, fs::Permissions::from_mode(mode & 0o777))
}

#[cfg(not(unix))]
pub(super) fn set_mode(_place: &Path, _mode: u32) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
pub(super) fn make_link(target: &str, place: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

#[cfg(not(unix))]
pub(super) fn make_link(_target: &str, _place: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// A file's or symlink's place is made free; a directory goes with all that is in it. Nothing is followed.
pub(super) fn remove(place: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::from(Error::io(place, error));
    match fs::symlink_metadata(place) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(place).map_err(failed),
        Ok(_) => fs::remove_file(place).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// The directories of `path` below `root`, made where they are missing. One that is a symlink is an error: it may lead anywhere.
pub(super) fn make_directories(root: &Path, path: &str) -> Result<(), Failure> {
    let mut place = root.to_owned();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        place.push(name);
        match fs::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_dir() => continue,
            Ok(_) => return Err(Error::io(&place, std::io::ErrorKind::NotADirectory.into()).into()),
            Err(_) => fs::create_dir(&place).map_err(|error| Error::io(&place, error))?,
        }
    }
    Ok(())
}

pub(super) fn checksum(path: &Path) -> Result<String, Failure> {
    let failed = |error| Error::io(path, error);
    let mut file = fs::File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_walk_follows_nothing_and_a_directory_is_never_a_symlink() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("secret"), "x").unwrap();
        fs::create_dir(root.path().join("d")).unwrap();
        fs::write(root.path().join("d/.f"), "ab").unwrap();
        symlink(outside.path(), root.path().join("l")).unwrap();
        let tree = scan(root.path()).unwrap();
        assert_eq!(tree.keys().collect::<Vec<_>>(), ["d", "d/.f", "l"]);
        assert!(matches!(&tree["l"].kind, Kind::Link(target) if Path::new(target) == outside.path()));
        assert_eq!((&tree["d/.f"].kind, tree["d/.f"].bytes), (&Kind::File, 2));
        assert!(make_directories(root.path(), "l/x").is_err());
        make_directories(root.path(), "d/e/f").unwrap();
        assert!(root.path().join("d/e/f").is_dir() && !outside.path().join("x").exists());
        remove(&root.path().join("l")).unwrap();
        assert!(outside.path().join("secret").exists());
        assert!(checksum(&root.path().join("d/.f")).unwrap().starts_with("fb8e20fc2e4c3f24"));
    }
}
