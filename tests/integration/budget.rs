//! Request budgets: how many requests an operation costs, counted at the server, after the token and the session's one status request.

use aiida_firecrest_host::scheduler::{CancelOutcome, JobQuery, ScriptSource, Submission, WaitCondition, WaitOptions};
use aiida_firecrest_host::transport::{ListOptions, TransferOptions, Verification};
use aiida_firecrest_host::types::FileKind;
use aiida_firecrest_host::{Policy, Session};
use aiida_firecrest_tests::{Rig, kind, noise, plugin, seen, tally};
use std::time::{Duration, Instant};

const LIST: ListOptions = ListOptions { recursive: false, hidden: false, pattern: None };
const STAT: &str = "GET filesystem/ops/stat";
const LS: &str = "GET filesystem/ops/ls";
const UPLOAD: &str = "POST filesystem/ops/upload";
const DOWNLOAD: &str = "GET filesystem/ops/download";
const CHECKSUM: &str = "GET filesystem/ops/checksum";
const CHMOD: &str = "PUT filesystem/ops/chmod";
const RM: &str = "DELETE filesystem/ops/rm";
const JOBS: &str = "GET compute/jobs";
const JOB: &str = "GET compute/jobs/{id}";
const CANCEL: &str = "DELETE compute/jobs/{id}";

fn ids(ids: &[String]) -> JobQuery {
    JobQuery::Ids(ids.to_vec())
}

#[tokio::test]
async fn opening_a_session_costs_a_token_and_one_status_request() {
    let (simulator, options, policy) = Rig::setup().serve().await;
    Session::open(plugin(), &options, &policy).await.unwrap();
    assert_eq!(seen(&simulator), ["POST token", "GET status/systems"]);
}

#[tokio::test]
async fn opening_with_another_sessions_state_costs_nothing() {
    let mut rig = Rig::open().await;
    let state = rig.session.state().await.unwrap();
    let (options, path) = (rig.options(), rig.place("a", b"1"));
    let mut second = Session::open_with(plugin(), &options, &Policy::default(), Some(&state)).await.unwrap();
    assert_eq!(seen(&rig.simulator), [""; 0]);
    second.stat(&path).await.unwrap();
    assert_eq!(seen(&rig.simulator), [STAT]);
}

#[tokio::test]
async fn a_state_that_does_not_fit_is_ignored() {
    let mut rig = Rig::open().await;
    let fitting = rig.session.state().await.unwrap();
    let mut elsewhere = rig.options();
    elsewhere.set("compute_resource", "cluster-account");
    let own = rig.options();
    for (options, state) in [(&elsewhere, fitting.as_slice()), (&own, b"no state".as_slice()), (&own, b"")] {
        rig.simulator.clear_requests();
        let mut session = Session::open_with(plugin(), options, &Policy::default(), Some(state)).await.unwrap();
        assert_eq!(seen(&rig.simulator), ["POST token", "GET status/systems"]);
        assert_eq!(session.whoami().await.unwrap().name, rig.simulator.username());
    }
}

#[tokio::test]
async fn looking_at_a_path_costs_one() {
    let mut rig = Rig::open().await;
    let (file, link) = (rig.place("a.txt", b"abc"), rig.place_link("a.txt", "link"));
    let nothing = rig.remote("nothing");
    assert_eq!(rig.count(async |s| s.stat(&link).await.unwrap().size).await, (3, vec![STAT.into()]));
    assert_eq!(rig.count(async |s| s.lstat(&link).await.unwrap().kind).await, (FileKind::Symlink, vec![STAT.into()]));
    assert_eq!(rig.count(async |s| s.exists(&file).await.unwrap()).await, (true, vec![STAT.into()]));
    assert_eq!(rig.count(async |s| s.exists(&nothing).await.unwrap()).await, (false, vec![STAT.into()]));
    assert_eq!(rig.count(async |s| s.read_link(&link).await.unwrap()).await, ("a.txt".into(), vec![LS.into()]));
    assert_eq!(rig.count(async |s| s.checksum(&file).await.unwrap().len()).await, (64, vec![CHECKSUM.into()]));
    let (who, requests) = rig.count(async |s| s.whoami().await.unwrap().name).await;
    assert_eq!((who.as_str(), requests), ("fireuser", vec!["GET status/userinfo".into()]));
}

#[tokio::test]
async fn making_a_directory_costs_one() {
    let mut rig = Rig::open().await;
    let (plain, deep) = (rig.remote("d"), rig.remote("a/b/c"));
    let once = vec!["POST filesystem/ops/mkdir".to_owned()];
    assert_eq!(rig.count(async |s| s.mkdir(&plain, false, false).await.unwrap()).await.1, once);
    assert_eq!(rig.count(async |s| s.mkdir(&deep, true, true).await.unwrap()).await.1, once);
    assert_eq!(rig.count(async |s| s.mkdir(&deep, true, true).await.unwrap()).await.1, once);
    let new = rig.remote("d/e");
    assert_eq!(rig.count(async |s| s.mkdir(&new, true, false).await.unwrap()).await.1, once);
}

#[tokio::test]
async fn changing_a_path_costs_one() {
    let mut rig = Rig::open().await;
    let (file, link) = (rig.place("a", b"1"), rig.remote("link"));
    let (uid, gid) = (rig.simulator.uid(), 100);
    assert_eq!(rig.count(async |s| s.chmod(&file, 0o600).await.unwrap()).await.1, [CHMOD]);
    assert_eq!(rig.count(async |s| s.symlink(&file, &link).await.unwrap()).await.1, ["POST filesystem/ops/symlink"]);
    // Whether it is allowed depends on who runs the tests; its price does not.
    assert_eq!(
        rig.count(async |s| s.chown(&file, Some(uid), Some(gid)).await.is_ok()).await.1,
        ["PUT filesystem/ops/chown"]
    );
}

#[tokio::test]
async fn removing_costs_one_where_the_kind_is_known() {
    let mut rig = Rig::open().await;
    let (file, link) = (rig.place("a", b"1"), rig.place_link("a", "l"));
    assert_eq!(rig.count(async |s| s.remove(&link, Some(FileKind::Symlink)).await.unwrap()).await.1, [RM]);
    assert_eq!(rig.count(async |s| s.remove(&file, Some(FileKind::Regular)).await.unwrap()).await.1, [RM]);
}

/// The server's only removal is `rm -r`: what is not known to be a file has to be looked at first.
#[tokio::test]
async fn removing_something_unknown_costs_a_look_more() {
    let mut rig = Rig::open().await;
    let (file, directory) = (rig.place("a", b"1"), rig.place_directory("d"));
    assert_eq!(rig.count(async |s| s.remove(&file, None).await.unwrap()).await.1, [STAT, RM]);
    assert_eq!(rig.count(async |s| s.remove(&directory, None).await.unwrap()).await.1, [STAT, LS, RM]);
}

#[tokio::test]
async fn removing_a_tree_costs_one() {
    let mut rig = Rig::open().await;
    let tree = rig.remote("tree");
    rig.session.mkdir(&format!("{tree}/a/b"), true, true).await.unwrap();
    assert_eq!(rig.count(async |s| s.remove_tree(&tree).await.unwrap()).await.1, [RM]);
}

#[tokio::test]
async fn a_listing_of_a_thousand_entries_with_attributes_costs_one() {
    let mut rig = Rig::open().await;
    let directory = rig.place_directory("many");
    for number in 0..1000 {
        rig.place(&format!("many/{number:04}"), number.to_string().as_bytes());
    }
    let (mut entries, requests) = rig.count(async |s| s.list(&directory, &LIST).await.unwrap()).await;
    assert_eq!(requests, [LS]);
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(entries.len(), 1000);
    assert_eq!((entries[999].path.as_str(), entries[999].size, entries[999].permissions), ("0999", 3, 0o644));
}

#[tokio::test]
async fn a_listing_of_any_depth_costs_one() {
    let mut rig = Rig::open().await;
    let mut path = rig.place_directory("top");
    for depth in 0..12 {
        path = format!("{path}/{depth}");
        rig.session.mkdir(&path, false, false).await.unwrap();
    }
    let top = rig.remote("top");
    let options = ListOptions { recursive: true, ..LIST };
    let (entries, requests) = rig.count(async |s| s.list(&top, &options).await.unwrap()).await;
    assert_eq!((entries.len(), requests), (12, vec![LS.into()]));
    assert!(entries.iter().any(|entry| entry.path == "0/1/2/3/4/5/6/7/8/9/10/11"), "{entries:?}");
}

#[tokio::test]
async fn submitting_costs_one_by_text_and_by_path() {
    let mut rig = Rig::open().await;
    let script = "#!/bin/bash\ntrue\n";
    let path = rig.place("job.sh", script.as_bytes());
    for script in [ScriptSource::Text(script.into()), ScriptSource::Path(path)] {
        let submission = Submission {
            script,
            working_directory: rig.simulator.home().to_owned(),
            name: None,
            account: None,
            environment: Vec::new(),
        };
        assert_eq!(rig.count(async |s| s.submit(&submission).await.unwrap()).await.1, ["POST compute/jobs"]);
    }
}

#[tokio::test]
async fn cancelling_costs_one_for_each_job() {
    let mut rig = Rig::open().await;
    let jobs = rig.simulator.add_jobs(5, "RUNNING");
    let (outcomes, requests) = rig.count(async |s| s.cancel(&jobs[..1]).await.unwrap()).await;
    assert!(matches!(outcomes[..], [CancelOutcome::Cancelled]), "{outcomes:?}");
    assert_eq!(requests, [CANCEL]);
    let (_, requests) = rig.count(async |s| s.cancel(&jobs[1..]).await.unwrap()).await;
    assert_eq!(tally(&requests), [(4, CANCEL)]);
}

#[tokio::test]
async fn jobs_by_any_number_of_ids_cost_one() {
    let mut rig = Rig::open().await;
    let jobs = rig.simulator.add_jobs(1000, "RUNNING");
    for (count, price) in [(1, JOB), (2, JOBS), (100, JOBS), (1000, JOBS)] {
        let query = ids(&jobs[..count]);
        let (listing, requests) = rig.count(async |s| s.jobs(&query).await.unwrap()).await;
        assert_eq!(requests, [price], "{count} ids");
        assert_eq!(listing.missing, [""; 0]);
        let found: Vec<String> = listing.jobs.into_iter().map(|job| job.job_id).collect();
        assert_eq!(found, jobs[..count], "in the order of the ids");
    }
}

#[tokio::test]
async fn my_jobs_cost_one() {
    let mut rig = Rig::open().await;
    rig.simulator.add_jobs(50, "PENDING");
    let (listing, requests) = rig.count(async |s| s.jobs(&JobQuery::Mine).await.unwrap()).await;
    assert_eq!((listing.jobs.len(), requests), (50, vec![JOBS.into()]));
}

#[tokio::test]
async fn each_id_that_the_list_does_not_show_costs_one_more() {
    let mut rig = Rig::open().await;
    let mut wanted = rig.simulator.add_jobs(3, "RUNNING");
    wanted.extend(["900001".into(), "900002".into()]);
    let query = ids(&wanted);
    let (listing, requests) = rig.count(async |s| s.jobs(&query).await.unwrap()).await;
    assert_eq!(tally(&requests), [(1, JOBS), (2, JOB)]);
    assert_eq!((listing.jobs.len(), listing.missing), (3, vec!["900001".to_owned(), "900002".into()]));
}

#[tokio::test]
async fn an_id_named_twice_counts_once() {
    let mut rig = Rig::open().await;
    let job = rig.simulator.add_jobs(1, "RUNNING").remove(0);
    let query = ids(&[job.clone(), job]);
    let (listing, requests) = rig.count(async |s| s.jobs(&query).await.unwrap()).await;
    assert_eq!((listing.jobs.len(), requests), (1, vec![JOB.into()]));
}

#[tokio::test]
async fn waiting_for_an_ended_job_costs_one_look() {
    let mut rig = Rig::open().await;
    let job = rig.simulator.add_jobs(1, "COMPLETED");
    let until = WaitOptions { until: WaitCondition::Finished, all: true, timeout_ms: None };
    let (_, requests) = rig.count(async |s| s.wait(&job, &until).await.unwrap()).await;
    assert_eq!(requests, [JOB]);
}

#[tokio::test]
async fn putting_a_file_costs_one() {
    let mut rig = Rig::open().await;
    let (local, remote) = (rig.local_file("a", &noise(100_000), 0o644), rig.remote("a"));
    let (summary, requests) = rig.count(async |s| s.put(&local, &remote, &Default::default()).await.unwrap()).await;
    assert_eq!((summary.bytes, summary.verified), (100_000, Verification::None));
    assert_eq!(requests, [UPLOAD]);
    // And so does replacing it.
    assert_eq!(rig.count(async |s| s.put(&local, &remote, &Default::default()).await.unwrap()).await.1, [UPLOAD]);
}

#[tokio::test]
async fn putting_an_executable_costs_a_chmod_more() {
    let mut rig = Rig::open().await;
    let (local, remote) = (rig.local_file("run.sh", b"#!/bin/sh\n", 0o755), rig.remote("run.sh"));
    assert_eq!(
        rig.count(async |s| s.put(&local, &remote, &Default::default()).await.unwrap()).await.1,
        [UPLOAD, CHMOD]
    );
}

#[tokio::test]
async fn getting_a_file_costs_two_and_one_where_its_size_is_known() {
    let mut rig = Rig::open().await;
    let remote = rig.place("a", &noise(100_000));
    let local = rig.local("a");
    assert_eq!(
        rig.count(async |s| s.get(&remote, &local, &Default::default()).await.unwrap()).await.1,
        [STAT, DOWNLOAD]
    );
    let known = TransferOptions { size: Some(100_000), ..Default::default() };
    assert_eq!(rig.count(async |s| s.get(&remote, &local, &known).await.unwrap()).await.1, [DOWNLOAD]);
}

#[tokio::test]
async fn verifying_adds_one_to_put_and_to_get() {
    let mut rig = Rig::setup().option("checksum_check", true).open().await;
    let (local, remote) = (rig.local_file("a", &noise(1000), 0o644), rig.remote("a"));
    let (summary, requests) = rig.count(async |s| s.put(&local, &remote, &Default::default()).await.unwrap()).await;
    assert_eq!((summary.verified, requests), (Verification::Checksum, vec![UPLOAD.into(), CHECKSUM.into()]));
    let (summary, requests) = rig.count(async |s| s.get(&remote, &local, &Default::default()).await.unwrap()).await;
    assert_eq!(
        (summary.verified, requests),
        (Verification::Checksum, vec![STAT.into(), DOWNLOAD.into(), CHECKSUM.into()])
    );
    let known = TransferOptions { size: Some(1000), ..Default::default() };
    assert_eq!(rig.count(async |s| s.get(&remote, &local, &known).await.unwrap()).await.1, [DOWNLOAD, CHECKSUM]);
    let unverified = TransferOptions { verify: Some(false), ..Default::default() };
    assert_eq!(rig.count(async |s| s.put(&local, &remote, &unverified).await.unwrap()).await.1, [UPLOAD]);
}

#[tokio::test]
async fn the_call_can_ask_for_a_checksum_by_itself() {
    let mut rig = Rig::open().await;
    let (local, remote) = (rig.local_file("a", b"abc", 0o644), rig.remote("a"));
    let verify = TransferOptions { verify: Some(true), ..Default::default() };
    assert_eq!(rig.count(async |s| s.put(&local, &remote, &verify).await.unwrap()).await.1, [UPLOAD, CHECKSUM]);
}

/// The server answers the upload of an empty file after 5 s, with an error; the file is there at once.
#[tokio::test]
async fn putting_an_empty_file_costs_three_and_not_the_servers_five_seconds() {
    let mut rig = Rig::open().await;
    let local = rig.local_file("empty", b"", 0o644);
    let mut fewest = usize::MAX;
    // On a busy machine the file can need more than one look to appear: never more than a few, and three at best.
    for attempt in 0..5 {
        let remote = rig.remote(&format!("empty-{attempt}"));
        let start = Instant::now();
        let (summary, requests) = rig.count(async |s| s.put(&local, &remote, &Default::default()).await.unwrap()).await;
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
        assert_eq!((summary.files, summary.bytes, std::fs::read(&remote).unwrap()), (1, 0, vec![]));
        assert_eq!(requests[0], STAT);
        let tally = tally(&requests);
        assert!(tally.len() == 2 && tally[1] == (1, UPLOAD) && (2..8).contains(&tally[0].0), "{tally:?}");
        fewest = fewest.min(requests.len());
        if fewest == 3 {
            break;
        }
    }
    assert_eq!(fewest, 3);
}

#[tokio::test]
async fn getting_an_empty_file_costs_one() {
    let mut rig = Rig::open().await;
    let (remote, local) = (rig.place("empty", b""), rig.local("empty"));
    assert_eq!(rig.count(async |s| s.get(&remote, &local, &Default::default()).await.unwrap()).await.1, [STAT]);
    assert_eq!(std::fs::read(&local).unwrap(), b"");
}

#[tokio::test]
async fn writing_costs_one_and_with_a_mode_two() {
    let mut rig = Rig::open().await;
    let remote = rig.remote("a");
    assert_eq!(rig.count(async |s| s.write(&remote, b"abc", None).await.unwrap()).await.1, [UPLOAD]);
    assert_eq!(rig.count(async |s| s.write(&remote, b"abc", Some(0o600)).await.unwrap()).await.1, [UPLOAD, CHMOD]);
    assert_eq!(
        rig.count(async |s| s.read(&remote, 0, None).await.unwrap()).await,
        (b"abc".to_vec(), vec![DOWNLOAD.into()])
    );
}

#[tokio::test]
async fn what_is_refused_before_it_is_sent_costs_nothing() {
    let mut rig = Rig::open().await;
    let quoted = rig.remote("it's");
    let (_, requests) = rig
        .count(async |s| {
            for path in [quoted.as_str(), "relative/path", "", "/a\0b"] {
                kind(s.stat(path).await);
                kind(s.list(path, &LIST).await);
                kind(s.remove(path, None).await);
                kind(s.write(path, b"1", None).await);
            }
            kind(s.cancel(&["1; rm -rf /".into()]).await);
            kind(s.jobs(&ids(&["12_3".into()])).await);
        })
        .await;
    assert_eq!(requests, [""; 0]);
}

#[tokio::test]
async fn rendering_a_script_and_asking_for_the_state_cost_nothing() {
    let mut rig = Rig::open().await;
    let template = crate::jobs::template();
    let (_, requests) = rig
        .count(async |s| {
            s.script(&template).await.unwrap();
            s.state().await.unwrap();
        })
        .await;
    assert_eq!(requests, [""; 0]);
}
