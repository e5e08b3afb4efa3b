//! Remote paths. A remote path *is* the real path: the simulated file systems are folders of the root, mounted, so to say,
//! where they lie. So scripts, symlinks and jobs mean by a path what a client means by it.
//!
//! The real server looks at the text of a path alone. Here a path must also lead nowhere else through symlinks: resolved
//! component by component, dangling links too, it must end inside one of the file systems, or the answer is 403.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use crate::errors::ApiError;

/// Python's os.path.normpath, for absolute paths.
pub(crate) fn normalise(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let slashes = if path.starts_with("//") && !path.starts_with("///") { "//" } else { "/" };
    format!("{slashes}{}", parts.join("/"))
}

/// Whether a normalised path is a file system or in it.
pub(crate) fn within(path: &str, file_system: &str) -> bool {
    path == file_system
        || path.strip_prefix(file_system.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
}

/// Where a path leads: every symlink followed, the last one only if asked for. What does not exist is taken as it stands.
/// `None` where links go round in circles.
fn resolve(path: &Path, follow_last: bool) -> Option<PathBuf> {
    let mut pending: VecDeque<OsString> = path.components().map(|component| component.as_os_str().to_owned()).collect();
    // A trailing slash follows a last link, as it does for the kernel.
    let follow_last = follow_last || path.as_os_str().to_string_lossy().ends_with('/');
    let mut resolved = PathBuf::from("/");
    let mut links = 0;
    while let Some(component) = pending.pop_front() {
        let component = PathBuf::from(component);
        match component.components().next() {
            Some(Component::RootDir) => resolved = PathBuf::from("/"),
            Some(Component::ParentDir) => {
                resolved.pop();
            }
            Some(Component::Normal(name)) => {
                let next = resolved.join(name);
                let target = if pending.is_empty() && !follow_last { None } else { std::fs::read_link(&next).ok() };
                match target {
                    Some(target) => {
                        links += 1;
                        if links > 40 {
                            return None;
                        }
                        for part in target.components().rev() {
                            pending.push_front(part.as_os_str().to_owned());
                        }
                    }
                    None => resolved = next,
                }
            }
            _ => {}
        }
    }
    Some(resolved)
}

/// The folders that clients may reach.
#[derive(Debug, Clone)]
pub(crate) struct FileSystems(Vec<String>);

impl FileSystems {
    pub(crate) fn new(paths: Vec<String>) -> Self {
        Self(paths)
    }

    pub(crate) fn all(&self) -> &[String] {
        &self.0
    }

    /// Which file system a normalised path is in.
    pub(crate) fn of(&self, path: &str) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|file_system| within(path, file_system))
    }

    fn holds(&self, path: &Path) -> bool {
        path.to_str().is_some_and(|path| self.of(path).is_some()) || self.0.iter().any(|root| path.starts_with(root))
    }

    /// Refuses a path that leads out of the file systems. A relative one starts at `home`.
    pub(crate) fn confine(&self, tool: &str, path: &str, home: &str, follow_last: bool) -> Result<(), ApiError> {
        let whole = Path::new(home).join(path);
        match resolve(&whole, follow_last) {
            // The kernel says what is wrong with a circle.
            None => Ok(()),
            Some(end) if self.holds(&end) => Ok(()),
            Some(_) => Err(denied(tool, path)),
        }
    }

    /// Refuses a tree in which any symlink leads out: for operations that follow the links that they meet.
    pub(crate) fn confine_tree(&self, tool: &str, path: &str) -> Result<(), ApiError> {
        let mut folders = vec![PathBuf::from(path)];
        let mut seen = std::collections::BTreeSet::new();
        while let Some(folder) = folders.pop() {
            let Some(real) = resolve(&folder, true) else {
                continue;
            };
            if !self.holds(&real) {
                return Err(denied(tool, &folder.to_string_lossy()));
            }
            if !seen.insert(real.clone()) {
                continue;
            }
            let Ok(entries) = std::fs::read_dir(&real) else {
                continue;
            };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_symlink() || kind.is_dir()) {
                    folders.push(entry.path());
                }
            }
        }
        Ok(())
    }
}

fn denied(tool: &str, path: &str) -> ApiError {
    ApiError::remote(1, &format!("{tool}: {path}: Permission denied"))
}

/// The server puts paths into '…' for a shell on the cluster without escaping. A path with a single quote therefore breaks
/// (or injects). Here no shell ever sees it, and the answer is the recorded one.
pub(crate) fn refuse_quotes(texts: &[&str]) -> Result<(), ApiError> {
    if texts.iter().any(|text| text.contains('\'')) {
        return Err(ApiError::remote(2, "bash: -c: line 1: unexpected EOF while looking for matching `''"));
    }
    Ok(())
}

/// Python's os.path.dirname and os.path.basename.
pub(crate) fn split(path: &str) -> (&str, &str) {
    match path.rfind('/') {
        None => ("", path),
        Some(at) => {
            let head = path[..=at].trim_end_matches('/');
            (if head.is_empty() { &path[..=at] } else { head }, &path[at + 1..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_as_python_does() {
        assert_eq!(normalise("/home/../etc/passwd"), "/etc/passwd");
        assert_eq!(normalise("/../.."), "/");
        assert_eq!(normalise("//a//b/./c/"), "//a/b/c");
        assert_eq!(normalise("/a/"), "/a");
    }

    #[test]
    fn a_sibling_with_the_same_beginning_is_outside() {
        assert!(within("/r/home", "/r/home"));
        assert!(within("/r/home/x", "/r/home"));
        assert!(!within("/r/homes", "/r/home"));
    }

    #[test]
    fn paths_split_as_python_does() {
        assert_eq!(split("/a/b"), ("/a", "b"));
        assert_eq!(split("/a/b/"), ("/a/b", ""));
        assert_eq!(split("/a"), ("/", "a"));
        assert_eq!(split("a"), ("", "a"));
    }

    #[test]
    fn links_cannot_lead_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().canonicalize().expect("its real path");
        let inside = root.join("home");
        std::fs::create_dir_all(inside.join("sub")).expect("folders");
        let home = inside.to_str().expect("a name in UTF-8").to_owned();
        let systems = FileSystems::new(vec![home.clone()]);
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, inside.join(name)).expect("a link");
        };
        link("/etc", "out");
        link("out", "chain");
        link("../../nowhere", "dangling");
        link("sub", "fine");
        link("round", "round");
        let check = |path: &str, follow| systems.confine("stat", path, &home, follow).is_ok();
        for name in ["out/passwd", "chain/passwd", "sub/../out/x", "fine/../../x"] {
            assert!(!check(&format!("{home}/{name}"), false), "{name}");
        }
        assert!(!check(&format!("{home}/dangling"), true));
        assert!(!check(&format!("{home}/dangling/"), false));
        assert!(check(&format!("{home}/dangling"), false));
        assert!(check(&format!("{home}/fine/x"), true));
        assert!(check(&format!("{home}/round"), true));
        assert!(check("relative", true));
        assert!(!check("../x", true));
        assert!(systems.confine_tree("ls", &home).is_err());
        assert!(systems.confine_tree("ls", &format!("{home}/sub")).is_ok());
    }
}
