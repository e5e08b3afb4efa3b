//! Shell patterns over whole paths: one request for each folder level that has a wildcard.
//!
//! The fixed beginning of a pattern is never looked at by itself. The first level with a wildcard is one listing. A further one is a
//! listing of the one directory that is left, or, where there are several, one recursive listing of what they have in common. A tree
//! that the server refuses to list as a whole (an unreadable folder in it, more than its 5 s) is listed folder by folder.

use super::inspect::ListOptions;
use super::pattern::{is_pattern, matches};
use crate::concurrent::all;
use crate::error::{Error, Kind, Result};
use crate::firecrest::v2::listing::{Entry, FileKind};
use crate::remote::RemotePath;
use crate::session::Session;

impl Session {
    /// The paths that match, sorted.
    pub async fn glob(&self, pattern: &str) -> Result<Vec<String>> {
        let path = RemotePath::parse(pattern)?;
        let names: Vec<&str> = path.as_str().split('/').skip(1).filter(|name| !name.is_empty()).collect();
        if names.iter().any(|name| *name == ".." || *name == ".") {
            return Err(Error::invalid(
                pattern,
                format!("the pattern '{pattern}' holds '..', whose meaning depends on symlinks"),
            ));
        }
        let Some(first) = names.iter().position(|name| is_pattern(name)) else {
            return Ok(if self.exists(pattern).await? { vec![path.as_str().to_owned()] } else { Vec::new() });
        };
        let base = format!("/{}", names[..first].join("/"));
        let mut found = self.expand(base, &names[first..]).await?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Matches `names` below `base`; the first of them is a pattern.
    async fn expand(&self, base: String, names: &[&str]) -> Result<Vec<String>> {
        if names.contains(&"**") {
            return self.expand_deep(&base, names).await;
        }
        let entries = match self.level(&base, names[0]).await {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::NotADirectory) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let rest = &names[1..];
        if rest.is_empty() {
            return Ok(entries.iter().map(|entry| below(&base, &entry.path)).collect());
        }
        // What can have something below it: a symlink may lead to a directory.
        let folders: Vec<&Entry> =
            entries.iter().filter(|e| matches!(e.kind, FileKind::Directory | FileKind::Symlink)).collect();
        if folders.len() > 1
            && folders.iter().all(|entry| entry.kind == FileKind::Directory)
            && let Some(found) = self.expand_together(&base, names).await?
        {
            return Ok(found);
        }
        let each = folders.into_iter().map(|folder| self.expand_below(below(&base, &folder.path), rest));
        let mut union = Vec::new();
        for found in all(each).await {
            union.extend(found?);
        }
        Ok(union)
    }

    /// Goes on below one folder: past fixed names, then at the next pattern.
    async fn expand_below(&self, folder: String, rest: &[&str]) -> Result<Vec<String>> {
        match rest.iter().position(|name| is_pattern(name)) {
            Some(next) => {
                let base =
                    std::iter::once(folder.as_str()).chain(rest[..next].iter().copied()).collect::<Vec<_>>().join("/");
                Box::pin(self.expand(base, &rest[next..])).await
            }
            None => {
                let path = format!("{folder}/{}", rest.join("/"));
                Ok(if self.exists(&path).await? { vec![path] } else { Vec::new() })
            }
        }
    }

    /// One recursive listing for all folders of a level. None: the server refuses the tree as a whole.
    async fn expand_together(&self, base: &str, names: &[&str]) -> Result<Option<Vec<String>>> {
        let hidden = names.iter().any(|name| name.starts_with('.'));
        let tree = self.list(base, &ListOptions { recursive: true, hidden, pattern: None }).await;
        let entries = match tree {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind, Kind::PermissionDenied | Kind::Timeout | Kind::TooLarge) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // A recursive listing does not go through symlinks, which a pattern does.
        if entries.iter().any(|entry| entry.kind == FileKind::Symlink && leads_on(&entry.path, names)) {
            return Ok(None);
        }
        let whole =
            |path: &str| path.split('/').count() == names.len() && path.split('/').zip(names).all(|(n, p)| fits(p, n));
        Ok(Some(entries.iter().filter(|entry| whole(&entry.path)).map(|entry| below(base, &entry.path)).collect()))
    }

    /// `**` stands for any number of folders; one recursive listing tells all.
    async fn expand_deep(&self, base: &str, names: &[&str]) -> Result<Vec<String>> {
        let hidden = names.iter().any(|name| name.starts_with('.'));
        match self.list(base, &ListOptions { recursive: true, hidden, pattern: None }).await {
            Ok(entries) => {
                let whole = |path: &str| deep(names, &path.split('/').collect::<Vec<_>>());
                Ok(entries.iter().filter(|entry| whole(&entry.path)).map(|entry| below(base, &entry.path)).collect())
            }
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::NotADirectory) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn level(&self, base: &str, pattern: &str) -> Result<Vec<Entry>> {
        let options = ListOptions { recursive: false, hidden: false, pattern: Some(pattern.to_owned()) };
        self.list(base, &options).await
    }
}

/// A name that begins with a dot has to be matched literally.
fn fits(pattern: &str, name: &str) -> bool {
    (pattern.starts_with('.') || !name.starts_with('.')) && matches(pattern, name)
}

/// Could a match lie below this path?
fn leads_on(path: &str, names: &[&str]) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    parts.len() < names.len() && parts.iter().zip(names).all(|(part, pattern)| fits(pattern, part))
}

fn deep(names: &[&str], path: &[&str]) -> bool {
    // reach[j]: the names so far match the first j parts. The work is the product of both lengths.
    let mut reach = vec![false; path.len() + 1];
    reach[0] = true;
    for name in names {
        let mut next = vec![false; path.len() + 1];
        for j in 0..=path.len() {
            if *name == "**" {
                next[j] = reach[j] || (j > 0 && next[j - 1] && !path[j - 1].starts_with('.'));
            } else if j > 0 {
                next[j] = reach[j - 1] && fits(name, path[j - 1]);
            }
        }
        reach = next;
    }
    reach[path.len()] && !path.is_empty()
}

fn below(base: &str, path: &str) -> String {
    format!("{}/{path}", base.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {

    #[test]
    fn two_stars_stand_for_any_depth() {
        let deep = |pattern: &str, path: &str| {
            super::deep(&pattern.split('/').collect::<Vec<_>>(), &path.split('/').collect::<Vec<_>>())
        };
        for (pattern, path, expected) in [
            ("**/x.txt", "x.txt", true),
            ("**/x.txt", "a/b/x.txt", true),
            ("**/x.txt", "a/.b/x.txt", false),
            ("a/**", "a/b/c", true),
            ("a/**/c", "a/c", true),
            ("a/**/c", "b/c", false),
            ("**/*.[ch]", "src/.c", false),
            ("**/*.[ch]", "src/x.h", true),
        ] {
            assert_eq!(deep(pattern, path), expected, "{pattern} {path}");
        }
    }
}
