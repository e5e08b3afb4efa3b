//! Looking: stat, lstat, exists, list, read-link, checksum, whoami. One request each.

use super::pattern;
use crate::error::{Error, Kind, Result};
use crate::firecrest::errors::SYSTEM_NOT_FOUND;
use crate::firecrest::v2::lenient::UserInfo;
use crate::firecrest::v2::listing::{self, Entry, FileKind};
use crate::firecrest::v2::models::{Stat, WireEntry};
use crate::remote::RemotePath;
use crate::session::Session;

/// How to list. See the WIT record `list-options`.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct ListOptions {
    pub recursive: bool,
    pub hidden: bool,
    pub pattern: Option<String>,
}

impl Session {
    /// Who I am on the cluster.
    pub async fn whoami(&self) -> Result<UserInfo> {
        self.api.user_info().await
    }

    /// Attributes, a symlink followed.
    pub async fn stat(&self, path: &str) -> Result<Stat> {
        self.api.stat(&RemotePath::parse(path)?, true).await.map_err(|e| e.about(path))
    }

    /// Attributes of a symlink itself.
    pub async fn lstat(&self, path: &str) -> Result<Stat> {
        self.api.stat(&RemotePath::parse(path)?, false).await.map_err(|e| e.about(path))
    }

    /// Is there something? Whatever keeps the server from looking is an error.
    pub async fn exists(&self, path: &str) -> Result<bool> {
        match self.stat(path).await {
            Ok(_) => Ok(true),
            // Below a file there is nothing: stat(1) calls that "Not a directory".
            Err(error)
                if matches!(error.kind, Kind::NotFound | Kind::NotADirectory)
                    && !error.server_said(SYSTEM_NOT_FOUND) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The entries of a directory.
    pub async fn list(&self, path: &str, options: &ListOptions) -> Result<Vec<Entry>> {
        let directory = RemotePath::parse(path)?;
        let dotted = options.pattern.as_deref().is_some_and(|p| p.starts_with('.'));
        let hidden = options.hidden || dotted;
        let lines =
            self.api.ls(&directory.as_directory(), options.recursive, hidden).await.map_err(|e| e.about(path))?;
        let mut entries = Vec::with_capacity(lines.len());
        for line in lines {
            let entry = listing::entry(line)?;
            let wanted = options.pattern.as_deref().is_none_or(|p| pattern::matches(p, entry.name()))
                && (options.hidden || dotted || !entry.name().starts_with('.'));
            if wanted {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// Where a symlink points.
    pub async fn read_link(&self, path: &str) -> Result<String> {
        let link = RemotePath::parse(path)?;
        let lines = self.api.ls(link.as_str(), false, false).await.map_err(|e| e.about(path))?;
        // A symlink is listed by itself, under its whole name; a directory is listed by its entries.
        let own_name = |line: &WireEntry| listing::unescape(&line.name) == listing::unescape(link.as_str());
        let itself = lines.into_iter().find(own_name).map(listing::attributes);
        let itself = itself.filter(|entry| entry.kind == FileKind::Symlink);
        match itself.and_then(|entry| entry.link_target) {
            Some(target) => Ok(target),
            None => Err(Error::invalid(path, format!("{path} is not a symbolic link"))),
        }
    }

    /// SHA-256 of a file.
    pub async fn checksum(&self, path: &str) -> Result<String> {
        self.api.checksum(&RemotePath::parse(path)?).await.map_err(|e| e.about(path))
    }
}
