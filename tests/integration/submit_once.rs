//! A submission happens exactly once, whatever becomes of its answer. Jobs are counted in the scheduler, not believed.

use std::collections::BTreeSet;
use std::time::Duration;

use aiida_firecrest_host::scheduler::{JobQuery, ScriptSource, Submission};
use aiida_firecrest_host::types::ErrorKind;
use aiida_firecrest_host::{Result, Session};
use aiida_firecrest_tests::{Rig, failure, seen, tally};
use firecrest_simulator::{Fault, FaultKind, JobLag};

const SUBMIT: &str = "POST compute/jobs";
const LIST: &str = "GET compute/jobs";

/// Held: it waits in the queue, and no process is made of it.
const HELD: &str = "#!/bin/bash\n#SBATCH --hold\ntrue\n";
const QUICK: &str = "#!/bin/bash\ntrue\n";

fn job(rig: &Rig, script: &str) -> Submission {
    Submission {
        script: ScriptSource::Text(script.into()),
        working_directory: rig.simulator.home().to_owned(),
        name: None,
        account: None,
        environment: Vec::new(),
    }
}

fn lose(rig: &Rig, times: u32, kind: FaultKind) {
    rig.simulator.plant(Fault { method: Some("POST".into()), times, ..Fault::once("/jobs", kind) });
}

fn submissions(rig: &Rig) -> usize {
    seen(&rig.simulator).iter().filter(|request| *request == SUBMIT).count()
}

/// The ids of all jobs that the scheduler has.
async fn jobs(rig: &mut Rig) -> BTreeSet<String> {
    let listed = rig.session.jobs(&JobQuery::Mine).await.unwrap();
    listed.jobs.into_iter().map(|job| job.job_id).collect()
}

async fn submit_all(mut session: Session, submission: Submission, count: usize) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(session.submit(&submission).await?);
    }
    Ok(ids)
}

/// A thousand submissions that nothing tells apart, by eight sessions at once, and not one answer: a thousand jobs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_lost_answers_make_a_thousand_jobs() {
    const SESSIONS: usize = 8;
    const EACH: usize = 125;
    let mut rig = Rig::open().await;
    lose(&rig, u32::MAX, FaultKind::DropAfter);
    let mut running = Vec::new();
    for _ in 0..SESSIONS {
        let session = rig.another().await;
        running.push(tokio::spawn(submit_all(session, job(&rig, HELD), EACH)));
    }
    let mut told = BTreeSet::new();
    for ids in running {
        told.extend(ids.await.unwrap().unwrap());
    }
    assert_eq!(told.len(), SESSIONS * EACH, "each submission has a job of its own");
    assert_eq!(submissions(&rig), SESSIONS * EACH);
    assert_eq!(jobs(&mut rig).await, told);
}

/// Jobs that start and end while they are looked for, with the server's lag: a stub without a directory, and for a while nothing at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_end_at_once_are_found() {
    let mut rig = Rig::setup().knobs(|knobs| knobs.queue_wait = Duration::from_millis(1)).open().await;
    lose(&rig, u32::MAX, FaultKind::DropAfter);
    let path = rig.place("job.sh", QUICK.as_bytes());
    let by_path = Submission { script: ScriptSource::Path(path), ..job(&rig, "") };
    let mut running = Vec::new();
    for submission in [job(&rig, QUICK), by_path.clone(), job(&rig, QUICK), by_path] {
        running.push(tokio::spawn(submit_all(rig.another().await, submission, 3)));
    }
    let mut told = BTreeSet::new();
    for ids in running {
        told.extend(ids.await.unwrap().unwrap());
    }
    assert_eq!((told.len(), submissions(&rig)), (12, 12));
    // For a while the server shows nothing of a job that has ended at once.
    while jobs(&mut rig).await != told {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(jobs(&mut rig).await, told);
}

/// What never arrived, or what a gateway stopped, is proven absent within 20 s, and sent again; another session's job of the same kind
/// is not taken for it. What ran into a time limit may be anywhere: it is looked for, for twice as long, and never sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_absent_is_sent_again_and_what_is_late_is_not() {
    let gateway = |status| FaultKind::Answer { status, body: "<html>nginx</html>".into(), headers: Vec::new() };
    tokio::join!(
        sent_again(FaultKind::DropBefore),
        sent_again(gateway(502)),
        sent_again(gateway(503)),
        not_sent_again(gateway(504), "120"),
        not_sent_again(FaultKind::Delay(Duration::from_secs(90)), "1"),
    );
}

async fn sent_again(fault: FaultKind) {
    let mut rig = Rig::open().await;
    let mut other = rig.another().await;
    lose(&rig, 1, fault);
    let submission = job(&rig, HELD);
    let (mine, theirs) = tokio::join!(rig.session.submit(&submission), async {
        // Its own request must not be the one that is lost.
        tokio::time::sleep(Duration::from_secs(2)).await;
        other.submit(&submission).await
    });
    let told = BTreeSet::from([mine.unwrap(), theirs.unwrap()]);
    assert_eq!((told.len(), submissions(&rig)), (2, 3));
    assert_eq!(jobs(&mut rig).await, told);
}

async fn not_sent_again(fault: FaultKind, timeout: &str) {
    let mut rig = Rig::setup().option("request_timeout_s", timeout).open().await;
    lose(&rig, 1, fault);
    let error = failure(rig.session.submit(&job(&rig, HELD)).await);
    assert_eq!(error.kind, ErrorKind::OutcomeUnknown);
    assert!(error.message.contains("still be on its way"), "{}", error.message);
    assert_eq!(submissions(&rig), 1);
}

/// Refused before anything was done, or lost by what stands in front: no look is needed for the first, one for the second.
#[tokio::test]
async fn the_servers_word_decides() {
    let mut rig = Rig::open().await;
    let refusal = |status, message: &str| FaultKind::Answer {
        status,
        body: serde_json::json!({"errorType": "error", "message": message}).to_string(),
        headers: Vec::new(),
    };
    let controller = "Unexpected Slurm command response. exit_status:1 std_err:sbatch: error: Batch job submission failed: \
                      Unable to contact slurm controller (connect failure)";
    for fault in [refusal(500, controller), refusal(424, "Unable to open a new SSH channel."), refusal(429, "")] {
        lose(&rig, 1, fault);
        let submission = job(&rig, HELD);
        let (id, requests) = rig.count(async |session| session.submit(&submission).await).await;
        id.unwrap();
        assert_eq!(requests, [SUBMIT, SUBMIT]);
    }
    assert_eq!(jobs(&mut rig).await.len(), 3);
}

/// A listing that cannot be had proves nothing: the caller is told what to look for.
#[tokio::test]
async fn without_a_listing_the_outcome_is_unknown() {
    let mut rig = Rig::open().await;
    lose(&rig, 1, FaultKind::DropAfter);
    let down = FaultKind::Answer { status: 500, body: "no".into(), headers: Vec::new() };
    rig.simulator.plant(Fault { method: Some("GET".into()), ..Fault::once("/jobs", down) });
    let submission = job(&rig, HELD);
    let (result, requests) = rig.count(async |session| session.submit(&submission).await).await;
    let error = failure(result);
    assert_eq!(error.kind, ErrorKind::OutcomeUnknown);
    assert!(
        error.message.contains("the jobs cannot be listed") && error.message.contains(rig.simulator.home()),
        "{}",
        error.message
    );
    assert_eq!(tally(&requests), [(1, SUBMIT), (1, LIST)]);
}

/// The spelling that tells submissions apart is nobody's business but the component's.
#[tokio::test]
async fn a_job_runs_where_it_was_told_to() {
    let mut rig = Rig::setup().knobs(|knobs| knobs.job_lag = JobLag::NONE).open().await;
    let directory = rig.place_directory("run");
    let submission = Submission { working_directory: directory.clone(), ..job(&rig, "#!/bin/bash\npwd > where\n") };
    let id = rig.session.submit(&submission).await.unwrap();
    let listed = rig.session.jobs(&JobQuery::Ids(vec![id])).await.unwrap();
    assert_eq!(listed.jobs[0].working_directory.as_deref(), Some(directory.as_str()));
    let place = format!("{directory}/where");
    aiida_firecrest_tests::eventually("the job ends", || std::fs::metadata(&place).is_ok_and(|file| file.len() > 0))
        .await;
    assert_eq!(std::fs::read_to_string(&place).unwrap().trim_end(), directory);
}
