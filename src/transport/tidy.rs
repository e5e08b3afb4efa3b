//! Removing what does not stay: by the call that made it, and by another session where the process of that call is gone.

use std::collections::BTreeSet;

use super::inspect::ListOptions;
use super::large::A_FEW;
use crate::concurrent::all;
use crate::error::{Error, Kind, Result};
use crate::passing::{PREFIX, is_mark};
use crate::remote::RemotePath;
use crate::scheduler::once::steps;
use crate::session::Session;

/// After a removal that failed, though it may be repeated: what made it fail may pass.
const TIDY_PAUSES: [std::time::Duration; 3] =
    [std::time::Duration::from_millis(100), std::time::Duration::from_millis(500), std::time::Duration::ZERO];

impl Session {
    /// Removes what was made on the way, whether the host has said stop or not. What cannot be removed, and what was never there, is
    /// not worth an error.
    pub(super) async fn tidy(&self, paths: &[&RemotePath]) {
        let each = paths.iter().map(|path| async move {
            for pause in TIDY_PAUSES {
                match self.api.rm(path).await {
                    Err(error) if error.kind != Kind::NotFound => self.api.client.platform().sleep(pause).await,
                    _ => return,
                }
            }
        });
        self.watch().shielded(all(each)).await;
    }

    /// Ends the jobs and removes the files that sessions of an instance left, whose calls were about these places. Returns their number.
    pub async fn tidy_after(&self, mark: &str, places: &[String]) -> Result<u32> {
        if !is_mark(mark) {
            return Err(Error::invalid(mark, format!("'{mark}' is not a mark: 16 hexadecimal digits")));
        }
        // Jobs first: they would go on making files.
        let mut count = 0;
        let mut ours = Vec::new();
        for job in self.api.latest_jobs().await? {
            if job.job.name.as_deref().is_some_and(|name| name.starts_with(&PREFIX[1..]) && name.contains(mark)) {
                ours.push(job.job.job_id.joined());
            }
        }
        if !ours.is_empty() {
            count += ours.len();
            self.cancel(ours).await?;
        }
        // In the path of what goes up, and in the spelling of what comes down.
        let spelling = steps(u64::from_str_radix(mark, 16).unwrap_or_default());
        let mut known = Vec::new();
        while let Some(job) = self.transfer_of(&[mark, &spelling], &mut known, A_FEW).await? {
            count += 1;
            self.end_transfer(&job).await;
            self.remove_logs(&job).await;
            known.push(job.job_id);
        }
        let mut left = BTreeSet::new();
        let temporary = self.temporary_folder().await?;
        let start = format!("{PREFIX}{mark}-");
        self.find_left(&temporary, false, &start, &mut left).await?;
        for place in places {
            let place = RemotePath::parse(place)?;
            if let Some((parent, _)) = place.split() {
                self.find_left(&parent, false, &start, &mut left).await?;
            }
            self.find_left(&place, true, &start, &mut left).await?;
        }
        // A job's folder, `….d`, before the result that it would make of it.
        for path in left.iter().rev() {
            match self.api.rm(path).await {
                Err(error) if error.kind != Kind::NotFound => return Err(error),
                _ => count += 1,
            }
        }
        Ok(count as u32)
    }

    async fn find_left(
        &self,
        folder: &RemotePath,
        recursive: bool,
        start: &str,
        left: &mut BTreeSet<RemotePath>,
    ) -> Result<()> {
        let entries = self.list(folder.as_str(), &ListOptions { recursive, hidden: true, pattern: None }).await;
        let entries = match entries {
            Ok(entries) => entries,
            // Nobody could have left anything there.
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::NotADirectory | Kind::InvalidArgument) => {
                return Ok(());
            }
            // Too large for the server's time, or with a closed folder in it: then its own entries.
            Err(_) if recursive => return Box::pin(self.find_left(folder, false, start, left)).await,
            Err(error) if error.kind == Kind::PermissionDenied => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            // The way to it may lead through another one: that goes with all that is in it.
            let mut names = entry.path.split('/').scan(0, |end, name| {
                *end += name.len() + 1;
                Some((name, *end - 1))
            });
            if let Some((_, end)) = names.find(|(name, _)| name.starts_with(start)) {
                left.insert(folder.join(&entry.path[..end])?);
            }
        }
        Ok(())
    }
}
