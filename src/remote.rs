//! A path on the cluster: absolute, and free of what the server cannot carry safely.
//!
//! FirecREST 2.x puts paths between single quotes into a shell command without escaping them (`filesystem/ops/commands/`): a single
//! quote in a path would end the quoting, and the rest would run as a command. Such a path never leaves this module.

use std::fmt;

use crate::error::{Error, Result};

/// The longest path that Linux takes, in bytes (`PATH_MAX`, the final NUL included).
const LONGEST: usize = 4095;

/// An absolute path that may be sent. Repeated slashes and `.` are taken out; `..` stays, for symlinks decide where it leads.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemotePath(String);

impl RemotePath {
    /// Checks and tidies.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid(text, "the path is empty"));
        }
        if !text.starts_with('/') {
            return Err(Error::invalid(text, format!("the path '{text}' is not absolute")));
        }
        check_text(text)?;
        let mut tidy = String::with_capacity(text.len());
        for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
            tidy.push('/');
            tidy.push_str(name);
        }
        if tidy.is_empty() {
            tidy.push('/');
        }
        if tidy.len() > LONGEST {
            return Err(Error::invalid(text, format!("the path has {} bytes, more than {LONGEST}", tidy.len())));
        }
        Ok(Self(tidy))
    }

    /// The path, without a slash at its end (but for `/` itself).
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path with a slash at its end: the server's `ls` then lists a directory even through a symlink, and refuses a file.
    pub fn as_directory(&self) -> String {
        format!("{}/", self.0.trim_end_matches('/'))
    }

    /// Directory and last name; none for `/` and for a path that ends in `..`.
    pub fn split(&self) -> Option<(RemotePath, &str)> {
        let (parent, name) = self.0.rsplit_once('/')?;
        if name.is_empty() || name == ".." {
            return None;
        }
        let parent = if parent.is_empty() { "/" } else { parent };
        Some((Self(parent.to_owned()), name))
    }

    /// A path below this one. `name` may hold slashes.
    pub fn join(&self, name: &str) -> Result<Self> {
        Self::parse(&format!("{}/{name}", self.0))
    }
}

/// An absolute path that goes into a job script of ours, quoted as a shell wants it: a single quote does no harm there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPath(String);

impl JobPath {
    /// Checks and tidies as [`RemotePath::parse`] does, but for quotes.
    pub fn parse(text: &str) -> Result<Self> {
        // A character that no rule of a path looks at stands in for the quote.
        let stand_in = RemotePath::parse(&text.replace('\'', "q"))?;
        if stand_in.as_str() == "/" {
            return Err(Error::invalid(text, "the root directory is not an entry of one"));
        }
        let mut tidy = String::with_capacity(text.len());
        for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
            tidy.push('/');
            tidy.push_str(name);
        }
        Ok(Self(tidy))
    }

    /// The path, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Refuses what cannot be carried in any argument that ends up in the server's shell.
pub fn check_text(text: &str) -> Result<()> {
    if text.contains('\'') {
        return Err(Error::invalid(
            text,
            format!("'{text}' holds a single quote, which the server would hand to a shell: it is not sent"),
        ));
    }
    if text.contains('\0') {
        return Err(Error::invalid(text, "a path cannot hold a NUL character"));
    }
    Ok(())
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use proptest::prelude::*;

    #[test]
    fn tidies_but_keeps_what_symlinks_decide() {
        for (text, tidy) in [
            ("/", "/"),
            ("//a///b/", "/a/b"),
            ("/a/./b/.", "/a/b"),
            ("/a/../b", "/a/../b"),
            ("/ü n\nx/-y", "/ü n\nx/-y"),
        ] {
            assert_eq!(RemotePath::parse(text).unwrap().as_str(), tidy);
        }
    }

    #[test]
    fn refuses() {
        for text in ["", "a/b", "~/x", "/it's", "/a\0b", &format!("/{}", "x".repeat(5000))] {
            assert_eq!(RemotePath::parse(text).unwrap_err().kind, Kind::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn splits() {
        let split = |text: &str| {
            RemotePath::parse(text).unwrap().split().map(|(parent, name)| (parent.to_string(), name.to_owned()))
        };
        assert_eq!(split("/a/b"), Some(("/a".into(), "b".into())));
        assert_eq!(split("/a"), Some(("/".into(), "a".into())));
        assert_eq!(split("/"), None);
        assert_eq!(split("/a/.."), None);
    }

    proptest! {
        #[test]
        fn nothing_unsafe_gets_through(text in "\\PC*") {
            if let Ok(path) = RemotePath::parse(&text) {
                prop_assert!(path.as_str().starts_with('/') && !path.as_str().contains('\''));
                prop_assert_eq!(RemotePath::parse(path.as_str()).unwrap(), path);
            }
        }
    }
}
