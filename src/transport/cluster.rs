//! From one place on the cluster to another: copy and rename.
//!
//! **The rule for copies.** A job waits in a queue, seconds at best; a direct request takes a tenth of a second. So a single file up to the
//! direct limit (as shipped, if the server's is larger: a download that fails is not tried another way) goes through here: stat, download, upload, chmod where needed. Everything else is one job.

use super::job::Work;
use super::pattern::is_pattern;
use crate::error::{Error, Kind, Result};
use crate::firecrest::v2::files::Content;
use crate::firecrest::v2::listing::FileKind;
use crate::remote::{JobPath, RemotePath};
use crate::session::Session;
use crate::shell::{quote, quote_pattern};

impl Session {
    /// Copies a file or a tree.
    pub async fn copy(&self, path: &str, target: &str, dereference: bool) -> Result<()> {
        let (source, place) = (JobPath::parse(path)?, JobPath::parse(target)?);
        not_into_itself("copied", &source, &place)?;
        // What a name says comes before what it means as a pattern.
        let mut pattern = is_pattern(path);
        if let Ok(from) = RemotePath::parse(path) {
            match self.api.stat(&from, dereference).await {
                Err(error) if pattern && error.kind == Kind::NotFound => {}
                Err(error) => return Err(error.about(path)),
                Ok(stat) => {
                    pattern = false;
                    let limit = if self.has_account() { self.sure_download() } else { self.download_limit() };
                    let small = FileKind::from_mode(stat.mode) == FileKind::Regular && stat.size <= limit;
                    if small && let Ok(to) = RemotePath::parse(target) {
                        return self.copy_through(&from, &to, target.ends_with('/'), stat.mode & 0o7777).await;
                    }
                }
            }
        }
        let follow = if dereference { "-L" } else { "-P" };
        let body = if pattern {
            // The shell lists what matches; `cp` then wants a directory.
            format!(
                "shopt -s nullglob\nset -- {}\nif [ $# = 0 ]; then echo {} >&2; exit 1; fi\nexec cp -R {follow} --preserve=mode,timestamps -- \"$@\" {}/",
                quote_pattern(source.as_str()),
                quote(&format!("{path}: No such file or directory")),
                quote(place.as_str()),
            )
        } else {
            format!(
                "exec cp -R {follow} --preserve=mode,timestamps -- {} {}",
                quote(source.as_str()),
                quote(place.as_str())
            )
        };
        self.run_or_fail(Work { operation: "copy", subject: path, body, ..Work::default() }).await.map(drop)
    }

    /// One small file, through this component's memory.
    async fn copy_through(&self, from: &RemotePath, to: &RemotePath, into: bool, mode: u32) -> Result<()> {
        let name = from.split().map(|(_, name)| name).unwrap_or_default();
        let mut target = if into { to.join(name)? } else { to.clone() };
        let bytes = self.read(from.as_str(), 0, None).await?;
        let content = Content::Bytes(bytes.into());
        let mut sent = self.send(&target, &content, target.as_str()).await;
        if matches!(&sent, Err(error) if error.kind == Kind::IsADirectory) {
            target = target.join(name)?;
            sent = self.send(&target, &content, target.as_str()).await;
        }
        sent?;
        if mode != 0o644 {
            self.api.chmod(&target, mode).await?;
        }
        Ok(())
    }

    /// Moves to a new name.
    pub async fn rename(&self, path: &str, new_path: &str) -> Result<()> {
        let (from, to) = (JobPath::parse(path)?, JobPath::parse(new_path)?);
        not_into_itself("moved", &from, &to)?;
        // What would fail anyway need not wait in a queue first.
        if let Ok(from) = RemotePath::parse(path) {
            self.api.stat(&from, false).await.map_err(|e| e.about(path))?;
        }
        let taken = quote(&format!("{new_path}: File exists"));
        let body = format!(
            "from={}\nto={}\nif [ -e \"$to\" ] || [ -L \"$to\" ]; then echo {taken} >&2; exit 1; fi\n\
             mv -nT -- \"$from\" \"$to\" || exit $?\n\
             if [ -e \"$from\" ] || [ -L \"$from\" ]; then echo {taken} >&2; exit 1; fi",
            quote(from.as_str()),
            quote(to.as_str()),
        );
        match self.run_or_fail(Work { operation: "rename", subject: path, body, ..Work::default() }).await {
            Err(error) if error.kind == Kind::AlreadyExists => Err(error.about(new_path)),
            moved => moved.map(drop),
        }
    }
}

/// By name; what only a link shows, the tools refuse.
fn not_into_itself(what: &str, from: &JobPath, to: &JobPath) -> Result<()> {
    match to.as_str().strip_prefix(from.as_str()) {
        Some(below) if below.starts_with('/') => {
            let message = format!("{} cannot be {what} into itself: {}", from.as_str(), to.as_str());
            Err(Error::invalid(to.as_str(), message))
        }
        _ => Ok(()),
    }
}

/// Refuses what names no entry.
pub(super) fn last_name(path: &JobPath) -> Result<&str> {
    path.as_str()
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty() && *name != ".." && *name != ".")
        .ok_or_else(|| Error::invalid(path.as_str(), format!("{} names no entry of a directory", path.as_str())))
}
