//! Through a local tree, depth first, each directory before what is in it, names in order.
//!
//! Memory grows with the names of the directories on the way, not with the tree.

use super::{Local, LocalKind, LocalStat};
use crate::error::{Error, Result};

/// What is met on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Below the tree's root, never empty.
    pub path: String,
    /// What it is.
    pub stat: LocalStat,
}

/// The way through a tree.
pub struct Walk<'l> {
    local: &'l dyn Local,
    root: String,
    follow: bool,
    /// The directories that are open: path below the root, names still to come, and which directory it is.
    open: Vec<(String, std::vec::IntoIter<String>, u128)>,
}

impl<'l> Walk<'l> {
    /// Begins at a directory. `follow`: symlinks are taken for what they lead to.
    pub fn new(local: &'l dyn Local, root: &str, follow: bool) -> Result<Self> {
        let mut walk = Self { local, root: root.trim_end_matches('/').to_owned(), follow, open: Vec::new() };
        walk.enter(String::new())?;
        Ok(walk)
    }

    /// A path of the tree, as the host knows it.
    pub fn local_path(&self, path: &str) -> String {
        if path.is_empty() { self.root.clone() } else { format!("{}/{path}", self.root) }
    }

    fn enter(&mut self, path: String) -> Result<()> {
        let place = self.local_path(&path);
        let identity = self.local.identity(&place)?;
        if self.open.iter().any(|(_, _, open)| *open == identity) {
            return Err(Error::invalid(&place, format!("{place} leads back to a directory that it lies in")));
        }
        let mut names = self.local.list(&place)?;
        names.sort_unstable();
        self.open.push((path, names.into_iter(), identity));
        Ok(())
    }

    /// The next path; none at the end.
    pub fn step(&mut self) -> Result<Option<Found>> {
        loop {
            let Some((directory, names, _)) = self.open.last_mut() else { return Ok(None) };
            let Some(name) = names.next() else {
                self.open.pop();
                continue;
            };
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            let place = self.local_path(&path);
            let stat = self.local.stat(&place, self.follow)?.ok_or_else(|| {
                Error::new(crate::error::Kind::NotFound, format!("{place} leads nowhere, or has gone meanwhile"))
                    .about(&place)
            })?;
            match stat.kind {
                LocalKind::Directory => self.enter(path.clone())?,
                LocalKind::Other => {
                    let message = format!("{place} is neither a file nor a directory nor a symbolic link");
                    return Err(Error::invalid(&place, message));
                }
                LocalKind::File | LocalKind::Symlink => {}
            }
            return Ok(Some(Found { path, stat }));
        }
    }
}
