//! Submitting exactly once, over a wire that loses answers.
//!
//! A job that was submitted has to be told from every other: from those of other sessions with the same script, name and directory,
//! submitted in the same second. What the server tells of a job is its name, working directory, account and partition; its script
//! only for a while, one request a job; its environment never. A name is the user's own, and a script on the cluster cannot be changed. So
//! each submission spells its working directory in a way of its own: `/scratch/run` as `/scratch/run/.//./…/.`, 32 random bits in
//! steps that lead nowhere. The kernel takes it for the same directory, Slurm keeps it to the letter (tried with 22.05:
//! `squeue`, `scontrol show job`), and the job's own `PWD` is plain. For readers it is put back into its plain form, see [`plain`].
//!
//! After a lost answer the jobs are listed until one has that spelling, which is then the job, or until its absence is proven:
//! the server works on a submission for 15 s at most (5 s each to connect, to log in and to run sbatch, `ssh_client.py` 2.5.7), and for up
//! to 4 s a starting job is shown without its directory, or not at all. Then it is sent again. What stays in doubt is `outcome-unknown`,
//! with the spelling to look for:
//!
//! - the jobs cannot be listed;
//! - after 40 s there is still a job without a directory;
//! - the request ran into a time limit, here or in a gateway, and has not shown up for 40 s: who knows where it is stuck;
//! - a job with the plain directory may be the one, on a server that does not keep the spelling: of that name, not this session's, and with
//!   that script as far as the server tells it.

use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::firecrest::v2::jobs::{RawJob, Script, Submission};
use crate::remote::RemotePath;
use crate::session::Session;

/// A job that is not to be seen for this long is not there: a server's 15 s, and the 4 s of its accounting.
const ABSENT_AFTER: Duration = Duration::from_secs(20);
/// A job that may still be on its way, or is shown without a directory, is waited for no longer than this: twice as long.
const UNCLEAR_AFTER: Duration = Duration::from_secs(40);
/// Between two looks: thirteen in the 20 s, each of which costs the server about 0.1 s.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// A server that loses each of so many answers, and does nothing, is given up.
const ROUNDS: u32 = 3;

/// A directory with 32 bits in its spelling.
pub fn spelled(directory: &RemotePath, bits: u64) -> String {
    format!("{directory}{}/.", steps(bits))
}

/// 32 bits as steps that lead nowhere.
pub fn steps(bits: u64) -> String {
    (0..32).map(|bit| if bits >> bit & 1 == 0 { "/" } else { "/." }).collect()
}

/// The plain form of a directory: without steps that lead nowhere. What is no absolute path stays as it is.
pub fn plain(directory: &str) -> String {
    RemotePath::parse(directory).map_or_else(|_| directory.to_owned(), |path| path.as_str().to_owned())
}

/// What a listing says of a submission.
#[derive(Debug, PartialEq, Eq)]
enum Seen<'a> {
    /// It is this job.
    Job(&'a str),
    /// These could be it, if the server changed the spelling.
    Perhaps(Vec<&'a str>),
    /// There are jobs of which only the id is known yet.
    Unclear,
    /// It is not there.
    Absent,
}

/// Reads a listing. `known`: jobs that this session has seen before.
fn find<'a>(
    jobs: &'a [(String, RawJob)],
    spelled: &str,
    submission: &Submission,
    known: impl Fn(&str) -> bool,
) -> Seen<'a> {
    let directory = |job: &'a RawJob| job.job.working_directory.as_deref().unwrap_or_default();
    if let Some((id, _)) = jobs.iter().find(|(_, job)| directory(job) == spelled) {
        return Seen::Job(id);
    }
    let named = |job: &RawJob| submission.name.is_none() || submission.name == job.job.name;
    let others = || jobs.iter().filter(|(id, _)| !known(id));
    let perhaps: Vec<&str> = others()
        .filter(|(_, job)| directory(job) == submission.working_directory.as_str() && named(job))
        .map(|(id, _)| id.as_str())
        .collect();
    if !perhaps.is_empty() {
        return Seen::Perhaps(perhaps);
    }
    if others().any(|(_, job)| directory(job).is_empty()) { Seen::Unclear } else { Seen::Absent }
}

impl Session {
    /// Submits a job that has been checked; its id.
    pub(super) async fn submit_once(&self, submission: &Submission) -> Result<String> {
        let spelled = spelled(&submission.working_directory, self.api.client.platform().random());
        let mut round = 1;
        loop {
            let id = match self.api.submit(submission, &spelled).await {
                Err(lost) if lost.kind == Kind::OutcomeUnknown => self.look_for(submission, &spelled, &lost).await?,
                settled => Some(settled?),
            };
            if let Some(id) = id {
                self.remember_alive(&id);
                return Ok(id);
            }
            if round == ROUNDS {
                let message = format!("the server lost {ROUNDS} submissions; each was looked for, and there is no job");
                return Err(Error::new(Kind::Unavailable, message).about(submission.working_directory.as_str()));
            }
            round += 1;
        }
    }

    /// Looks for a job whose submission got no answer; none: it is not there, and will not be.
    async fn look_for(&self, submission: &Submission, spelled: &str, lost: &Error) -> Result<Option<String>> {
        let unknown = |why: &str| {
            let message = format!(
                "{}; {why}: look for a job with the working directory {spelled} before it is submitted again",
                lost.info.message
            );
            Error::new(Kind::OutcomeUnknown, message).about(submission.working_directory.as_str())
        };
        let platform = self.api.client.platform();
        let start = platform.monotonic();
        loop {
            let listed = self.api.latest_jobs().await;
            let jobs = listed.map_err(|error| unknown(&format!("the jobs cannot be listed ({error})")))?;
            let jobs: Vec<(String, RawJob)> = jobs.into_iter().map(|job| (job.job.job_id.joined(), job)).collect();
            let passed = platform.monotonic().saturating_sub(start);
            let late = lost.info.still_on_its_way;
            let patience = if late { UNCLEAR_AFTER } else { ABSENT_AFTER };
            match find(&jobs, spelled, submission, |id| self.alive.borrow().contains_key(id)) {
                Seen::Job(id) => return Ok(Some(id.to_owned())),
                Seen::Unclear if passed >= UNCLEAR_AFTER => {
                    return Err(unknown("there are jobs of which the server tells no directory"));
                }
                Seen::Absent | Seen::Perhaps(_) if passed >= patience && late => {
                    return Err(unknown("it may still be on its way"));
                }
                Seen::Absent if passed >= patience => return Ok(None),
                Seen::Perhaps(ids) if passed >= patience => {
                    return match self.first_with_script(&ids, submission).await {
                        Some(id) => Err(unknown(&format!("job {id} may be it"))),
                        None => Ok(None),
                    };
                }
                _ => platform.sleep((passed / 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await,
            }
        }
    }

    /// The first of these jobs whose script is the submission's, or is not told.
    async fn first_with_script(&self, ids: &[&str], submission: &Submission) -> Option<String> {
        for id in ids {
            let told = self.api.job_metadata(id).await.ok().and_then(|metadata| metadata.script);
            match (&submission.script, told) {
                (Script::Text(text), Some(told)) if told.trim() != text.trim() => {}
                _ => return Some((*id).to_owned()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firecrest::v2::models::Job;
    use proptest::prelude::*;

    fn job(id: &str, name: &str, directory: &str) -> (String, RawJob) {
        let told = serde_json::json!({"jobId": id, "name": name, "status": {"state": "PENDING"}, "workingDirectory": directory});
        let job: Job = serde_json::from_value(told).unwrap();
        (id.into(), RawJob { job, raw: String::new() })
    }

    fn submission(name: Option<&str>) -> Submission {
        Submission {
            script: Script::Text("#!/bin/sh\n".into()),
            working_directory: RemotePath::parse("/s/run").unwrap(),
            name: name.map(str::to_owned),
            account: None,
            environment: Vec::new(),
        }
    }

    #[test]
    fn a_listing_is_read() {
        let mine = spelled(&RemotePath::parse("/s/run").unwrap(), 7);
        let theirs = spelled(&RemotePath::parse("/s/run").unwrap(), 8);
        let known = |id: &str| id == "1";
        for (jobs, name, expected) in [
            (vec![job("1", "a", "/s/run"), job("2", "a", &theirs)], None, Seen::Absent),
            (vec![job("1", "a", "/s/run"), job("2", "a", &mine)], Some("other"), Seen::Job("2")),
            (vec![job("2", "allocation", ""), job("3", "a", &mine)], None, Seen::Job("3")),
            (vec![job("2", "allocation", ""), job("3", "a", "/s")], None, Seen::Unclear),
            (vec![job("1", "allocation", "")], None, Seen::Absent),
            (vec![job("2", "a", "/s/run"), job("3", "b", "/s/run")], Some("b"), Seen::Perhaps(vec!["3"])),
            (vec![], None, Seen::Absent),
        ] {
            assert_eq!(find(&jobs, &mine, &submission(name), known), expected, "{jobs:?}");
        }
    }

    #[test]
    fn what_is_no_directory_stays() {
        assert_eq!((plain("/a//b/./c/."), plain(""), plain("N/A")), ("/a/b/c".into(), String::new(), "N/A".into()));
    }

    proptest! {
        /// Every spelling is the same directory, and no other submission's.
        #[test]
        fn spellings_are_plain_and_distinct(names in proptest::collection::vec("[a-z .]{1,8}[a-z]", 0..4), a: u32, b: u32) {
            let directory = RemotePath::parse(&format!("/{}", names.join("/"))).unwrap();
            let of = |bits: u32| spelled(&directory, bits.into());
            prop_assert_eq!(plain(&of(a)), directory.as_str());
            prop_assert_eq!(of(a) == of(b), a == b);
        }
    }
}
