//! Files past the direct limit, to the cluster: through the object store, with a job of the server's at the cluster's end.
//!
//! The server submits its job at once, and that job looks for the object when it starts, then sleeps a minute between looks. So the
//! parts are sent with nothing in between, many at once; if the job was faster, its sleep is ended through the server (`attach`), and
//! where that is refused, waited for. That the file has arrived is in the job's log, which is there before the accounting is.
//!
//! **The target** is what it was until everything is proved: the job fetches the file beside it, under a plain name (the server's
//! scripts cannot carry every name, see [`PlainPath`], and remove an old target before they begin), and a hard link, made by unpacking
//! an archive that holds nothing else, puts it in its place. That takes requests alone; where it is not possible, a job renames.

use std::cmp::Reverse;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{join, try_join};

use super::Verification;
use super::job::{Caller, Work};
use super::put::hash;
use crate::archive::MemberKind;
use crate::concurrent::all;
use crate::error::{Error, Kind, Result};
use crate::firecrest::v2::files::Content;
use crate::firecrest::v2::transfer::{PlainPath, TransferJob, Upload};
use crate::objectstore::ObjectStore;
use crate::remote::RemotePath;
use crate::scheduler::service::JobQuery;
use crate::scheduler::state::{JobState, is_terminal};
use crate::session::Session;
use crate::shell::quote;

/// The first look at a log or an object comes after this.
pub(super) const FIRST_LOOK: Duration = Duration::from_millis(200);
/// The longest pause between two looks.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The job's state is asked for only this long after the last time: it costs the server more than a log does.
pub(super) const STATE_EVERY: Duration = Duration::from_secs(5);
/// A transfer whose beginning got no answer is looked for this long, and after a stop this long; then it never was.
const LONG_LOOK: Duration = Duration::from_secs(20);
const SHORT_LOOK: Duration = Duration::from_millis(500);
/// And it is begun so often.
const ROUNDS: usize = 3;
/// Of a transfer that ended so many seconds ago nothing is left but its logs, and most schedulers have forgotten its script (MinJobAge,
/// slurm.conf(5): 300 s; not where accounting keeps it, AccountingStoreFlags): no more than the latest few of those are asked about.
const LONG_OVER: i64 = 900;
pub(super) const A_FEW: usize = 20;
/// From a job's cancelling to the first look whether it has ended, and between two.
const LAST_WRITES: Duration = Duration::from_millis(300);
const MOST_LOOKS: u32 = 10;
/// What the job of an upload writes when it has found the object, and when it has fetched it.
const FOUND: &str = "found in S3";
const DONE: &str = "File was successfully";

impl Session {
    pub(super) fn store(&self) -> ObjectStore {
        ObjectStore::new(Rc::clone(self.api.client.platform()), self.options.request_timeout)
    }

    /// Can large files travel at all?
    pub(super) fn has_store(&self) -> bool {
        self.system.transfer_method.as_deref() == Some("s3")
    }

    /// Is there an account for jobs, where the system wants one?
    pub(super) fn has_account(&self) -> bool {
        let wanted = self.system.directives.iter().any(|directive| directive.contains("{account}"));
        !wanted || self.options.billing_account.is_some()
    }

    /// Refuses before anything is sent what cannot work.
    pub(super) fn check_large(&self, operation: &str, subject: &str) -> Result<Option<&str>> {
        if !self.has_store() {
            let method = self.system.transfer_method.as_deref().unwrap_or("none");
            let message = format!(
                "{subject}: {operation} of a file past the direct limit needs an object store; the system {} has the method {method}",
                self.system.name
            );
            return Err(Error::new(Kind::Unsupported, message).about(operation));
        }
        if !self.has_account() {
            let message = format!(
                "{subject}: {operation} of a large file runs as a job, and the system {} wants an account for jobs: set billing_account",
                self.system.name
            );
            return Err(Error::invalid("billing_account", message));
        }
        Ok(self.options.billing_account.as_deref())
    }

    /// Sends a large file, with these permission bits.
    pub(super) async fn put_large(
        &self,
        target: &RemotePath,
        content: &Content,
        mode: Option<u32>,
        verify: bool,
    ) -> Result<Verification> {
        let account = self.check_large("put", target.as_str())?;
        let (parent, name) =
            target.split().ok_or_else(|| Error::invalid(target.as_str(), "it names no entry of a directory"))?;
        let beside = PlainPath::new(&parent).is_some();
        let near = if beside { parent.clone() } else { self.temporary_folder().await? };
        // A folder, because the job makes further files beside the one it fetches.
        let folder = near.join(&self.passing_name())?;
        let aside = folder.join("file")?;
        let plain = PlainPath::new(&aside).ok_or_else(|| {
            let message = "the server's scripts can carry neither this path nor that of temp_directory: set one without blanks and quotes";
            Error::invalid(target.as_str(), message)
        })?;
        let put = async {
            self.api.mkdir(&folder, false).await.map_err(|e| e.about(target.as_str()))?;
            let verified = self.send_aside(&aside, &plain, content, account, target, verify).await?;
            if let Some(mode) = mode {
                self.api.chmod(&aside, mode).await?;
            }
            if !(beside && self.link_into_place(&folder, &parent, name, target).await?) {
                let body = format!("exec mv -fT -- {} {}", quote(aside.as_str()), quote(target.as_str()));
                self.run_or_fail(Work { operation: "put", subject: target.as_str(), body, ..Work::default() }).await?;
            }
            Ok(verified)
        };
        let put = put.await;
        self.tidy(&[&folder]).await;
        put
    }

    /// Sends the bytes and sees that they are all there.
    async fn send_aside(
        &self,
        aside: &RemotePath,
        plain: &PlainPath,
        content: &Content,
        account: Option<&str>,
        target: &RemotePath,
        verify: bool,
    ) -> Result<Verification> {
        let subject = target.as_str();
        // What can be read but once cannot be hashed as well.
        let hashed = async { Ok(if verify && !content.once() { hash(content).await.map(Some) } else { Ok(None) }) };
        // A failed upload ends the hashing; a failed hash does not end the upload, which has a job to clean up after.
        let upload = self.upload_plain(plain, content, account, subject);
        let (job, ours) = try_join(upload, hashed).await?;
        // Nothing of this waits for anything else of it.
        let looked = async {
            let ours = ours?;
            let (stat, theirs) = join(self.api.stat(aside, true), async {
                match &ours {
                    Some(_) => self.checksum_of_any_size(aside).await,
                    None => Ok(None),
                }
            })
            .await;
            Ok::<_, Error>((ours, stat, theirs))
        };
        let (looked, ()) = join(looked, self.remove_logs(&job)).await;
        let (ours, stat, theirs) = looked?;
        let size = stat?.size;
        if size != content.size() {
            let message = format!("{target}: {size} bytes arrived, not {}", content.size());
            return Err(Error::new(Kind::ChecksumMismatch, message).about(subject));
        }
        match ours {
            Some(ours) => compare(target, &ours, theirs?),
            None => Ok(Verification::Size),
        }
    }

    /// Puts a file in the place of another by a second name in the same directory. False: the file system does not do that.
    async fn link_into_place(
        &self,
        folder: &RemotePath,
        parent: &RemotePath,
        name: &str,
        target: &RemotePath,
    ) -> Result<bool> {
        let (_, inside) = folder.split().unwrap_or((folder.clone(), ""));
        let kind = MemberKind::Hardlink { target: format!("{inside}/file").into_bytes() };
        match self.unpack_member(folder, "link.tar", parent, name, kind, target.as_str()).await {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind, Kind::Cancelled | Kind::OutcomeUnknown) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// The job has done its work; its logs are still there.
    async fn upload_plain(
        &self,
        plain: &PlainPath,
        content: &Content,
        account: Option<&str>,
        subject: &str,
    ) -> Result<TransferJob> {
        let mut ended = Vec::new();
        let upload = loop {
            match self.api.transfer_upload(plain, content.size(), account).await {
                Err(lost) if lost.kind == Kind::OutcomeUnknown => {
                    self.after_lost_transfer(plain, lost, &mut ended).await?;
                }
                begun => break begun?,
            }
        };
        let sent = self.send_parts(&upload, content, subject).await;
        let arrived = match sent {
            Ok(()) => self.await_upload(&upload.job, subject).await,
            Err(error) => Err(error),
        };
        match arrived {
            Ok(()) => Ok(upload.job),
            Err(error) => {
                // The job would look for the object for a day, and then for nothing.
                self.end_transfer(&upload.job).await;
                self.remove_logs(&upload.job).await;
                Err(error)
            }
        }
    }

    /// The beginning of a transfer got no answer. Its path is one that no other job was given: so the job is found, which would else
    /// wait for its object for a day, and ended. Then the transfer may be begun anew, so often. `ended`: the jobs of earlier rounds.
    pub(super) async fn after_lost_transfer(
        &self,
        path: &PlainPath,
        lost: Error,
        ended: &mut Vec<String>,
    ) -> Result<()> {
        let stopped = self.watch().is_stopped();
        let patience = if stopped { SHORT_LOOK } else { LONG_LOOK };
        let found = self.watch().shielded(self.end_lost_transfer(path, patience, ended)).await;
        // One entry a round, whether there was a job or not.
        ended.push(found.unwrap_or_default());
        match ended.len() {
            _ if stopped => Err(self.watch().error()),
            ROUNDS => Err(lost),
            _ => Ok(()),
        }
    }

    async fn end_lost_transfer(&self, path: &PlainPath, patience: Duration, ended: &[String]) -> Option<String> {
        let platform = self.api.client.platform();
        let start = platform.monotonic();
        let mut others = ended.to_vec();
        loop {
            if let Ok(Some(job)) = self.transfer_of(&[path.as_str()], &mut others, 0).await {
                self.end_transfer(&job).await;
                self.remove_logs(&job).await;
                return Some(job.job_id);
            }
            let passed = platform.monotonic().saturating_sub(start);
            if passed >= patience {
                return None;
            }
            platform.sleep((passed / 2).clamp(FIRST_LOOK, Duration::from_secs(4))).await;
        }
    }

    /// A transfer job of the server's whose script has one of these texts in it. `others`: jobs that are not it, to which this adds.
    /// Of those that are long over, the latest `old` are looked at.
    pub(super) async fn transfer_of(
        &self,
        texts: &[&str],
        others: &mut Vec<String>,
        old: usize,
    ) -> Result<Option<TransferJob>> {
        let now = i64::try_from(self.api.client.platform().unix_now()).unwrap_or_default();
        let mut transfers = Vec::new();
        for job in self.api.latest_jobs().await? {
            if job.job.name.is_some_and(|name| name.ends_with("FileTransfer")) {
                let ended = job.job.time.end.filter(|_| is_terminal(&job.job.status.state.joined()));
                transfers.push((ended.filter(|end| *end < now - LONG_OVER), job.job.job_id.joined()));
            }
        }
        // Those that are not over first, then from the latest on.
        transfers.sort_by_key(|(over, _)| Reverse(over.unwrap_or(i64::MAX)));
        let fresh = transfers.iter().filter(|(over, _)| over.is_none()).count();
        for (_, id) in transfers.into_iter().take(fresh + old) {
            if others.contains(&id) {
                continue;
            }
            let Ok(metadata) = self.api.job_metadata(&id).await else { continue };
            if metadata.script.is_some_and(|script| texts.iter().any(|text| script.contains(text))) {
                let logs = [metadata.standard_output, metadata.standard_error].map(Option::unwrap_or_default);
                let [output_log, error_log] = logs;
                return Ok(Some(TransferJob { job_id: id, output_log, error_log }));
            }
            others.push(id);
        }
        Ok(None)
    }

    /// Many at once; those of a stream one after the other.
    async fn send_parts(&self, upload: &Upload, content: &Content, subject: &str) -> Result<()> {
        let store = self.store();
        let at_once = if content.once() { 1 } else { self.options.max_io_allowed };
        let bound = async_lock::Semaphore::new(at_once);
        let failed = std::cell::Cell::new(false);
        let (size, length) = (content.size(), upload.part_size);
        let parts = upload.parts.iter().enumerate().map(|(i, url)| {
            let (store, bound, failed) = (&store, &bound, &failed);
            async move {
                let offset = i as u64 * length;
                let length = length.min(size - offset);
                let _place = bound.acquire().await;
                if failed.get() {
                    return None;
                }
                let sent = store.put_part(url, content.piece(offset, length), subject).await;
                match &sent {
                    Ok(_) => content.passed(offset + length),
                    Err(_) => failed.set(true),
                }
                Some(sent)
            }
        });
        // Parts that were not begun, because another had failed, have nothing to say.
        let etags = all(parts).await.into_iter().flatten().collect::<Result<Vec<_>>>()?;
        store.complete(&upload.complete, &etags, subject).await
    }

    /// Waits for the job to say that the file has arrived, and ends its sleep if it has begun one.
    async fn await_upload(&self, job: &TransferJob, subject: &str) -> Result<()> {
        let platform = self.api.client.platform();
        let start = platform.monotonic();
        let log = RemotePath::parse(&job.output_log)?;
        let mut state_asked = start;
        let mut woken = false;
        let mut ended: Option<String> = None;
        loop {
            let waited = platform.monotonic().saturating_sub(start);
            platform.sleep((waited / 8).clamp(FIRST_LOOK, LONGEST_PAUSE)).await;
            let told = self.read_log(&log).await.map_err(|error| {
                // The log is the server's own: whoever asked knows the target.
                let message = error.info.message.replace(log.as_str(), &format!("{subject}: the transfer's log"));
                let mut error = error.about(subject);
                error.info.message = message;
                error
            })?;
            match told {
                Some(text) if text.contains(DONE) => return Ok(()),
                // The job runs and has not found the object, which is complete: it sleeps, or is about to.
                Some(text) if !text.contains(FOUND) && !woken && text.contains("Waiting") => {
                    // Refused (501 in REST mode, 500 without srun): its sleep ends by itself within the minute.
                    woken = true;
                    let _ = self.api.attach(&job.job_id, &wake_command()).await;
                }
                _ => {}
            }
            if let Some(state) = ended {
                return Err(self.failed_transfer(job, "put", subject, &state).await);
            }
            if platform.monotonic().saturating_sub(state_asked) >= STATE_EVERY {
                state_asked = platform.monotonic();
                ended = self.ended_state(job).await?;
            }
        }
    }

    async fn read_log(&self, log: &RemotePath) -> Result<Option<String>> {
        match self.read(log.as_str(), 0, None).await {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The job's state if it has ended.
    pub(super) async fn ended_state(&self, job: &TransferJob) -> Result<Option<String>> {
        let listing = self.jobs(JobQuery::Ids(vec![job.job_id.clone()])).await?;
        let done = listing.jobs.into_iter().find(|job| job.job_state == JobState::Done).map(|job| job.raw_state);
        Ok(done.or_else(|| (!listing.missing.is_empty()).then(|| "unknown".to_owned())))
    }

    pub(super) async fn failed_transfer(
        &self,
        job: &TransferJob,
        operation: &str,
        subject: &str,
        state: &str,
    ) -> Error {
        let id = job.job_id.clone();
        let mut said = String::new();
        if let Ok(log) = RemotePath::parse(&job.error_log) {
            said = self.read_log(&log).await.ok().flatten().unwrap_or_default().trim().to_owned();
        }
        let told = if said.is_empty() { String::new() } else { format!(": {}", said.replace('\n', "; ")) };
        let message =
            format!("{subject}: the server's job {id} for {operation} ended as {state} without its file{told}");
        let mut error = Error::new(Kind::Other, message).about(subject);
        error.info.server_message = Some(said).filter(|t| !t.is_empty());
        error
    }

    /// Cancels a job of the server's. One that was just about to start makes its logs all the same, so its end is waited for; after a
    /// stop only for a moment.
    pub(super) async fn end_transfer(&self, job: &TransferJob) {
        let looks = if self.watch().is_stopped() { 1 } else { MOST_LOOKS };
        let ended = async {
            let _ = self.cancel(vec![job.job_id.clone()]).await;
            for look in 1..=looks {
                self.api.client.platform().sleep(LAST_WRITES).await;
                if look == looks || !matches!(self.ended_state(job).await, Ok(None)) {
                    return;
                }
            }
        };
        self.watch().shielded(ended).await;
    }

    /// Nobody else does. A log that cannot be removed is not worth an error.
    pub(super) async fn remove_logs(&self, job: &TransferJob) {
        let logs = [&job.output_log, &job.error_log];
        let paths: Vec<RemotePath> = logs.into_iter().filter_map(|path| RemotePath::parse(path).ok()).collect();
        self.tidy(&paths.iter().collect::<Vec<_>>()).await;
    }

    /// The server's checksum, or that of a job where its 5 s are too short. None: not even a job could tell.
    pub(super) async fn checksum_of_any_size(&self, path: &RemotePath) -> Result<Option<String>> {
        match self.checksum_for(path, &Caller::default()).await {
            Err(error) if error.kind == Kind::InvalidArgument => Ok(None),
            told => told,
        }
    }

    /// The same for a caller who may lose interest, and learns of a job that is refused.
    pub(super) async fn checksum_for(&self, path: &RemotePath, caller: &Caller) -> Result<Option<String>> {
        match caller.wants(self.api.checksum(path)).await {
            Ok(hash) => Ok(Some(hash)),
            Err(error) if error.kind == Kind::Timeout => {
                let body = format!("exec sha256sum < {}", quote(path.as_str()));
                let caller = Some(caller);
                let work = Work { operation: "checksum", subject: path.as_str(), body, caller, ..Work::default() };
                match self.run_or_fail(work).await {
                    Ok(output) => {
                        Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().next().map(str::to_owned))
                    }
                    // No job can run.
                    Err(error) if error.info.subject.as_deref() == Some("billing_account") => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

pub(super) fn compare(path: &RemotePath, ours: &str, theirs: Option<String>) -> Result<Verification> {
    match theirs {
        // Only the size is sure, and the summary says so.
        None => Ok(Verification::Size),
        Some(theirs) if theirs == ours => Ok(Verification::Checksum),
        Some(theirs) => {
            let message = format!("{path}: the bytes differ: SHA-256 {ours} here, {theirs} on the cluster");
            Err(Error::new(Kind::ChecksumMismatch, message).about(path.as_str()))
        }
    }
}

/// Ends the job's own sleep: a process of that name whose environment holds the job's id, and no other of the user's. Ids are one
/// cluster's own, so its name has to be the same, where it is told.
fn wake_command() -> String {
    let script = r#"for p in /proc/[0-9]*; do if [ "$(cat "$p/comm" 2>/dev/null)" = sleep ] && e=$(tr "\0" "\n" < "$p/environ" 2>/dev/null) && grep -qx "SLURM_JOB_ID=$SLURM_JOB_ID" <<< "$e" && { [ -z "$SLURM_CLUSTER_NAME" ] || grep -qx "SLURM_CLUSTER_NAME=$SLURM_CLUSTER_NAME" <<< "$e"; }; then kill "${p#/proc/}"; fi; done"#;
    format!("bash -c {}", quote(script))
}
