//! The granted folders, opened: what wasi:filesystem shows the plugin, and the permission bits that WASI 0.2 has no words for.
//!
//! A folder is opened once, when it is granted; every later name is resolved below the open folder, so that neither `..` nor a
//! symlink nor a folder exchanged meanwhile leads out of it.

use crate::error::{Error, Result, one_line};
use crate::policy::{Access, Folder, plain};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Permissions};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use wasmtime_wasi::{FsPerms, WasiCtx};

/// The folders that one call may use.
#[derive(Default)]
pub(crate) struct Grants(Vec<Granted>);

struct Granted {
    /// The absolute path under which the plugin knows it.
    name: PathBuf,
    access: Access,
    dir: Dir,
}

impl Grants {
    /// Opens the folders.
    pub(crate) fn open(folders: &[Folder]) -> Result<Grants> {
        let mut grants = Vec::new();
        for Folder { path, access } in folders {
            let failed = |error: std::io::Error| Error::Folder {
                path: path.clone(),
                missing: error.kind() == ErrorKind::NotFound,
                reason: match error.kind() {
                    ErrorKind::NotFound => "there is none".into(),
                    ErrorKind::NotADirectory => "is not a folder".into(),
                    _ => error.to_string(),
                },
            };
            let name = plain(&std::path::absolute(path).map_err(failed)?)?;
            let dir = Dir::open_ambient_dir(&name, ambient_authority()).map_err(failed)?;
            grants.push(Granted { name, access: *access, dir });
        }
        Ok(Grants(grants))
    }

    /// A context whose files are these folders and nothing else.
    pub(crate) fn wasi(&self) -> Result<WasiCtx> {
        let mut builder = WasiCtx::builder();
        for granted in &self.0 {
            let path = &granted.name;
            let failed = |reason: String| Error::Folder { path: path.clone(), reason, missing: false };
            let name = path.to_str().ok_or_else(|| failed("its name is not UTF-8".into()))?;
            let permissions = match granted.access {
                Access::Read => FsPerms::ReadOnly,
                Access::Write => FsPerms::ReadWrite,
            };
            builder.preopened_dir(path, name, permissions).map_err(|error| failed(one_line(&format!("{error:#}"))))?;
        }
        Ok(builder.build())
    }

    /// The permission bits of what `path` names, following symlinks.
    pub(crate) fn permissions(&self, path: &str) -> Option<u32> {
        let (granted, rest) = self.find(path)?;
        bits(&granted.dir.metadata(rest).ok()?.permissions())
    }

    /// Sets them; false where they could not be set or nobody granted it.
    pub(crate) fn set_permissions(&self, path: &str, mode: u32) -> bool {
        let Some((granted, rest)) = self.find(path) else {
            return false;
        };
        granted.access == Access::Write
            && from_bits(mode).is_some_and(|permissions| granted.dir.set_permissions(rest, permissions).is_ok())
    }

    /// Is it under a folder that is granted for writing?
    pub(crate) fn may_write(&self, path: &str) -> bool {
        self.find(path).is_some_and(|(granted, _)| granted.access == Access::Write)
    }

    /// The innermost granted folder around a path, and the way from there.
    fn find(&self, path: &str) -> Option<(&Granted, PathBuf)> {
        let path = Path::new(path);
        if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            return None;
        }
        let around = self.0.iter().filter(|granted| path.starts_with(&granted.name));
        let granted = around.max_by_key(|granted| granted.name.components().count())?;
        let rest = path.strip_prefix(&granted.name).ok()?;
        let rest = if rest.as_os_str().is_empty() { Path::new(".") } else { rest };
        Some((granted, rest.to_owned()))
    }
}

#[cfg(unix)]
fn bits(permissions: &Permissions) -> Option<u32> {
    use cap_std::fs::PermissionsExt;
    Some(permissions.mode() & 0o777)
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems have none")]
fn from_bits(mode: u32) -> Option<Permissions> {
    use cap_std::fs::PermissionsExt;
    Some(Permissions::from_mode(mode & 0o777))
}

#[cfg(not(unix))]
fn bits(_permissions: &Permissions) -> Option<u32> {
    None
}

#[cfg(not(unix))]
fn from_bits(_mode: u32) -> Option<Permissions> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn bits_are_read_and_set_below_a_granted_folder_alone() {
        let root = tempfile::tempdir().unwrap();
        let (inside, outside) = (root.path().join("in"), root.path().join("out"));
        for folder in [&inside, &outside] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("file"), "").unwrap();
            fs::set_permissions(folder.join("file"), fs::Permissions::from_mode(0o640)).unwrap();
        }
        symlink("../out/file", inside.join("escape")).unwrap();
        symlink("file", inside.join("link")).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();

        let read = Grants::open(&[Folder::read(&inside)]).unwrap();
        assert_eq!(read.permissions(&text(&inside.join("file"))), Some(0o640));
        assert_eq!(read.permissions(&text(&inside.join("link"))), Some(0o640));
        assert_eq!(read.permissions(&text(&inside.join("escape"))), None);
        assert_eq!(read.permissions(&text(&outside.join("file"))), None);
        assert_eq!(read.permissions(&format!("{}/../out/file", text(&inside))), None);
        assert!(!read.set_permissions(&text(&inside.join("file")), 0o600));

        let write = Grants::open(&[Folder::write(&inside)]).unwrap();
        assert!(write.set_permissions(&text(&inside.join("file")), 0o4751));
        assert_eq!(mode(&inside.join("file")), 0o751);
        assert!(!write.set_permissions(&text(&inside.join("escape")), 0o777));
        assert_eq!(mode(&outside.join("file")), 0o640);
    }

    #[test]
    fn a_folder_that_is_none_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let shown = |name: &str| Grants::open(&[Folder::read(root.path().join(name))]).err().unwrap();
        assert!(shown("missing").to_string().ends_with("missing: there is none"));
        assert_eq!(shown("missing").exit_code(), 3);
        assert!(shown("file").to_string().ends_with("file: is not a folder"));
        assert_eq!(shown("file").exit_code(), 4);
    }
}
