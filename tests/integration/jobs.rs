//! Jobs: from a template to a job's end.

use std::time::{Duration, Instant};

use aiida_firecrest_host::scheduler::{
    CancelOutcome, JobInfo, JobQuery, JobResource, JobState, JobTemplate, RunMode, ScriptSource, Submission,
    WaitCondition, WaitOptions,
};
use aiida_firecrest_host::types::ErrorKind;
use aiida_firecrest_tests::{Rig, failure, in_time, kind, plugin};
use firecrest_simulator::{Fault, FaultKind, JobLag, Service};

/// A template with nothing in it but what a job needs.
pub(crate) fn template() -> JobTemplate {
    JobTemplate {
        shebang: None,
        submit_as_hold: false,
        rerunnable: false,
        job_environment: Vec::new(),
        environment_variables_double_quotes: false,
        working_directory: None,
        email: None,
        email_on_started: false,
        email_on_terminated: false,
        job_name: None,
        sched_output_path: None,
        sched_error_path: None,
        sched_join_files: false,
        queue_name: None,
        account: None,
        qos: None,
        job_resource: Some(JobResource {
            num_machines: Some(1),
            num_mpiprocs_per_machine: Some(1),
            num_cores_per_machine: None,
            num_cores_per_mpiproc: None,
            tot_num_mpiprocs: None,
        }),
        priority: None,
        max_memory_kb: None,
        max_wallclock_seconds: None,
        custom_scheduler_commands: None,
        prepend_text: None,
        append_text: None,
        import_sys_environment: true,
        codes_run_mode: RunMode::Serial,
        codes_info: Vec::new(),
    }
}

fn submission(rig: &Rig, script: &str) -> Submission {
    Submission {
        script: ScriptSource::Text(script.into()),
        working_directory: rig.simulator.home().to_owned(),
        name: None,
        account: None,
        environment: Vec::new(),
    }
}

const FINISHED: WaitOptions = WaitOptions { until: WaitCondition::Finished, all: true, timeout_ms: Some(60_000) };

/// A server whose answers about jobs are complete at once.
async fn without_lag() -> Rig {
    Rig::setup()
        .knobs(|knobs| {
            knobs.job_lag = JobLag::NONE;
            knobs.queue_wait = Duration::from_millis(1);
        })
        .open()
        .await
}

async fn run(rig: &mut Rig, script: &str) -> JobInfo {
    let id = rig.session.submit(&submission(rig, script)).await.unwrap();
    finished(rig, &id).await
}

async fn finished(rig: &mut Rig, id: &str) -> JobInfo {
    let listing = rig.session.wait(&[id.to_owned()], &FINISHED).await.unwrap();
    assert_eq!(listing.missing, [""; 0]);
    let job = listing.jobs.into_iter().next().expect("the job");
    assert_eq!((job.job_id.as_str(), job.job_state), (id, JobState::Done), "{job:?}");
    job
}

async fn look(rig: &mut Rig, id: &str) -> JobInfo {
    let listing = rig.session.jobs(&JobQuery::Ids(vec![id.to_owned()])).await.unwrap();
    listing.jobs.into_iter().next().expect("the job")
}

// ---- scripts

#[tokio::test]
async fn a_template_that_cannot_be_is_refused_and_names_its_field() {
    let resource = |num_machines, num_mpiprocs_per_machine, tot_num_mpiprocs| JobTemplate {
        job_resource: Some(JobResource {
            num_machines,
            num_mpiprocs_per_machine,
            num_cores_per_machine: None,
            num_cores_per_mpiproc: None,
            tot_num_mpiprocs,
        }),
        ..template()
    };
    for (bad, field) in [
        (resource(Some(2), None, None), ""),
        (resource(Some(2), Some(4), Some(9)), ""),
        (resource(Some(0), Some(1), None), "num_machines"),
        (JobTemplate { max_wallclock_seconds: Some(0), ..template() }, "max_wallclock_seconds"),
        (JobTemplate { max_memory_kb: Some(-1), ..template() }, "max_memory_kb"),
    ] {
        let error = failure(plugin().script(&bad).await);
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error:?}");
        let subject = error.subject.unwrap_or_default();
        assert!(!subject.is_empty() && subject.replace('-', "_").contains(field), "{subject} is not {field}");
    }
}

// ---- from submission to the end

#[tokio::test]
async fn a_job_goes_from_its_template_to_its_result() {
    let mut rig = without_lag().await;
    let folder = rig.place_directory("work");
    let script = rig
        .session
        .script(&JobTemplate {
            job_name: Some("count".into()),
            sched_output_path: Some("out.txt".into()),
            sched_error_path: Some("err.txt".into()),
            max_wallclock_seconds: Some(300),
            append_text: Some("wc -c < input.txt; echo oops >&2".into()),
            ..template()
        })
        .await
        .unwrap();
    let input = rig.local_file("input.txt", b"12345", 0o644);
    let local_script = rig.local_file("job.sh", script.as_bytes(), 0o755);
    rig.session.put(&input, &format!("{folder}/"), &Default::default()).await.unwrap();
    rig.session.put(&local_script, &format!("{folder}/"), &Default::default()).await.unwrap();
    let job = Submission {
        script: ScriptSource::Path(format!("{folder}/job.sh")),
        working_directory: folder.clone(),
        name: None,
        account: None,
        environment: Vec::new(),
    };
    let id = rig.session.submit(&job).await.unwrap();
    let info = finished(&mut rig, &id).await;
    assert_eq!((info.raw_state.as_str(), info.exit_status, info.terminating_signal), ("COMPLETED", Some(0), None));
    assert_eq!(rig.session.read(&format!("{folder}/out.txt"), 0, None).await.unwrap(), b"5\n");
    assert_eq!(rig.session.read(&format!("{folder}/err.txt"), 0, None).await.unwrap(), b"oops\n");

    let details = rig.session.details(&id).await.unwrap();
    assert_eq!(details.script.as_deref(), Some(script.as_str()));
    assert_eq!(details.standard_output.as_deref(), Some(format!("{folder}/out.txt").as_str()));
    assert_eq!(details.standard_error.as_deref(), Some(format!("{folder}/err.txt").as_str()));
    assert_eq!(details.info.raw_state, "COMPLETED");
    assert!(details.steps.iter().any(|step| step.name == "batch" && step.raw_state == "COMPLETED"), "{details:?}");
}

#[tokio::test]
async fn a_finished_job_is_described_field_for_field() {
    let mut rig = without_lag().await;
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let job =
        run(&mut rig, "#!/bin/bash\n#SBATCH --job-name=probe\n#SBATCH --time=5\n#SBATCH --nodes=2\nexit 3\n").await;
    assert_eq!((job.title.as_deref(), job.queue_name.as_deref()), (Some("probe"), Some("part01")));
    assert_eq!((job.job_owner.as_deref(), job.account.as_deref()), (Some("fireuser"), Some("staff")));
    assert_eq!((job.raw_state.as_str(), job.exit_status), ("FAILED", Some(3)));
    assert_eq!(job.requested_wallclock_time_seconds, Some(300));
    assert_eq!(job.working_directory.as_deref(), Some(rig.simulator.home()));
    assert_eq!(job.num_machines, Some(2));
    let machines: Vec<&str> = job.allocated_machines.iter().map(|machine| machine.name.as_str()).collect();
    assert_eq!((machines, job.allocated_machines_raw.as_deref()), (vec!["nid0001", "nid0002"], Some("nid[0001-0002]")));
    let (start, end) = (job.dispatch_time.unwrap(), job.finish_time.unwrap());
    assert!(before - 1 <= start && start <= end, "{before} {start} {end}");
    assert_eq!(job.wallclock_time_seconds, Some((end - start) as u64));
    let raw: serde_json::Value = serde_json::from_str(&job.raw_data).unwrap();
    assert_eq!(raw["jobId"], job.job_id.as_str());
}

/// Recorded of a real server: for seconds a job is a stub, or not found at all, and one must not believe what it then says.
#[tokio::test]
async fn through_all_lag_no_answer_is_wrong() {
    let mut rig = Rig::open().await;
    for script in
        ["#!/bin/bash\n#SBATCH --job-name=probe\nsleep 1\n", "#!/bin/bash\n#SBATCH --job-name=probe\nexit 4\n"]
    {
        let id = rig.session.submit(&submission(&rig, script)).await.unwrap();
        let query = JobQuery::Ids(vec![id.clone()]);
        let (start, mut order) = (Instant::now(), Vec::new());
        loop {
            assert!(start.elapsed() < Duration::from_secs(60));
            let listing = rig.session.jobs(&query).await.unwrap();
            assert_eq!(listing.missing, [""; 0], "a young job is not gone");
            let job = &listing.jobs[0];
            for (told, true_one) in [
                (&job.title, "probe"),
                (&job.queue_name, "part01"),
                (&job.account, "staff"),
                (&job.working_directory, rig.simulator.home()),
            ] {
                assert!(told.as_deref().is_none_or(|told| told == true_one), "{job:?}");
            }
            if order.last() != Some(&job.job_state) {
                order.push(job.job_state);
            }
            match job.job_state {
                JobState::Done => {
                    let failed = script.contains("exit 4");
                    assert_eq!(job.raw_state, if failed { "FAILED" } else { "COMPLETED" });
                    assert_eq!(job.exit_status, Some(if failed { 4 } else { 0 }));
                    break;
                }
                _ => assert_eq!((job.exit_status, job.finish_time), (None, None), "{job:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let known: Vec<JobState> = order.iter().copied().filter(|state| *state != JobState::Undetermined).collect();
        assert!(known.is_sorted_by_key(|state| *state as u8), "a job does not go back: {order:?}");
        assert!(known.contains(&JobState::Queued) || known.contains(&JobState::Running), "{order:?}");
    }
}

#[tokio::test]
async fn every_state_of_slurm_has_its_meaning() {
    let mut rig = Rig::open().await;
    let id = rig.simulator.add_jobs(1, "RUNNING").remove(0);
    for (raw, state, word) in [
        ("PENDING", JobState::Queued, "PENDING"),
        ("CONFIGURING", JobState::Queued, "CONFIGURING"),
        ("REQUEUED", JobState::Queued, "REQUEUED"),
        ("REQUEUE_HOLD", JobState::QueuedHeld, "REQUEUE_HOLD"),
        ("SPECIAL_EXIT", JobState::QueuedHeld, "SPECIAL_EXIT"),
        ("RESV_DEL_HOLD", JobState::QueuedHeld, "RESV_DEL_HOLD"),
        ("RUNNING", JobState::Running, "RUNNING"),
        ("COMPLETING", JobState::Running, "COMPLETING"),
        ("RESIZING", JobState::Running, "RESIZING"),
        ("SIGNALING", JobState::Running, "SIGNALING"),
        ("STAGE_OUT", JobState::Running, "STAGE_OUT"),
        ("SUSPENDED", JobState::Suspended, "SUSPENDED"),
        ("STOPPED", JobState::Suspended, "STOPPED"),
        ("COMPLETED", JobState::Done, "COMPLETED"),
        ("FAILED", JobState::Done, "FAILED"),
        ("TIMEOUT", JobState::Done, "TIMEOUT"),
        ("CANCELLED", JobState::Done, "CANCELLED"),
        ("CANCELLED by 1001", JobState::Done, "CANCELLED"),
        ("NODE_FAIL", JobState::Done, "NODE_FAIL"),
        ("BOOT_FAIL", JobState::Done, "BOOT_FAIL"),
        ("OUT_OF_MEMORY", JobState::Done, "OUT_OF_MEMORY"),
        ("DEADLINE", JobState::Done, "DEADLINE"),
        ("PREEMPTED", JobState::Done, "PREEMPTED"),
        ("REVOKED", JobState::Done, "REVOKED"),
        ("SOMETHING_NEW", JobState::Undetermined, "SOMETHING_NEW"),
    ] {
        assert!(rig.simulator.set_job_state(&id, Some(raw)));
        let job = look(&mut rig, &id).await;
        assert_eq!((job.job_state, job.raw_state.as_str()), (state, word), "{raw}");
    }
}

#[tokio::test]
async fn a_held_job_is_held_and_says_why() {
    let mut rig = without_lag().await;
    let id = rig.session.submit(&submission(&rig, "#!/bin/bash\n#SBATCH -H\ntrue\n")).await.unwrap();
    let job = look(&mut rig, &id).await;
    assert_eq!((job.job_state, job.raw_state.as_str()), (JobState::QueuedHeld, "PENDING"));
    assert_eq!(job.annotation.as_deref(), Some("JobHeldUser"));
    assert!(rig.simulator.release_job(&id));
    assert_eq!(finished(&mut rig, &id).await.raw_state, "COMPLETED");
}

#[tokio::test]
async fn a_job_past_its_wall_time_ends_as_timeout() {
    let mut rig = Rig::setup()
        .knobs(|knobs| {
            knobs.job_lag = JobLag::NONE;
            knobs.minute = Duration::from_millis(100);
            knobs.kill_wait = Duration::from_millis(50);
        })
        .open()
        .await;
    let job = run(&mut rig, "#!/bin/bash\n#SBATCH --time=1\nsleep 600\n").await;
    assert_eq!(job.raw_state, "TIMEOUT");
}

// ---- submitting

#[tokio::test]
async fn what_the_submission_says_wins_over_the_script() {
    let mut rig = without_lag().await;
    let script = "#!/bin/bash\n#SBATCH --job-name=scripts\n#SBATCH --output=out.txt\necho \"$A|$B|$PWD\"\n";
    let folder = rig.place_directory("work");
    let job = Submission {
        name: Some("mine".into()),
        account: Some("myproject".into()),
        working_directory: folder.clone(),
        environment: vec![("A".into(), "a b = \"c\" 'd'; $HOME".into()), ("B".into(), "ü".into())],
        ..submission(&rig, script)
    };
    let id = rig.session.submit(&job).await.unwrap();
    let info = finished(&mut rig, &id).await;
    assert_eq!((info.title.as_deref(), info.account.as_deref()), (Some("mine"), Some("myproject")));
    let out = String::from_utf8(rig.session.read(&format!("{folder}/out.txt"), 0, None).await.unwrap()).unwrap();
    assert_eq!(out, format!("a b = \"c\" 'd'; $HOME|ü|{folder}\n"));
}

#[tokio::test]
async fn the_billing_account_of_the_options_is_for_our_own_jobs_and_not_for_a_users() {
    let mut rig = Rig::setup().option("billing_account", "users").knobs(|k| k.job_lag = JobLag::NONE).open().await;
    assert_eq!(run(&mut rig, "#!/bin/bash\ntrue\n").await.account.as_deref(), Some("staff"));
}

#[tokio::test]
async fn a_script_that_the_scheduler_refuses_is_an_invalid_argument_with_its_words() {
    let mut rig = Rig::open().await;
    for (script, account, words) in [
        ("echo no shebang\n", None, "This does not look like a batch script"),
        ("#!/bin/bash\n#SBATCH --partition=nope\n", None, "invalid partition specified: nope"),
        ("#!/bin/bash\ntrue\n", Some("nope".to_owned()), "Invalid account"),
    ] {
        let job = Submission { account, ..submission(&rig, script) };
        let error = failure(rig.session.submit(&job).await);
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{error:?}");
        assert!(error.server_message.as_deref().is_some_and(|text| text.contains(words)), "{error:?}");
        assert!(error.message.contains(words), "{error:?}");
    }
    assert!(rig.session.jobs(&JobQuery::Mine).await.unwrap().jobs.is_empty());
}

#[tokio::test]
async fn a_submission_that_cannot_be_sent_whole_is_refused_before_it_is_sent() {
    let mut rig = Rig::open().await;
    let script = "#!/bin/bash\n";
    let environment = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let bad = [
        Submission { working_directory: "relative".into(), ..submission(&rig, script) },
        Submission { working_directory: "/it's".into(), ..submission(&rig, script) },
        Submission { script: ScriptSource::Path("job.sh".into()), ..submission(&rig, script) },
        // With none, sbatch would wait for 5 s for a script on its stdin.
        submission(&rig, ""),
        Submission { environment: environment("A B", "1"), ..submission(&rig, script) },
        // sbatch --export would take what comes after the comma for another variable.
        Submission { environment: environment("A", "1,B=2"), ..submission(&rig, script) },
        Submission { environment: environment("A", "it's"), ..submission(&rig, script) },
        Submission { environment: environment("A", "\"'\""), ..submission(&rig, script) },
    ];
    for job in bad {
        let (result, requests) = rig.count(async |s| s.submit(&job).await).await;
        assert_eq!((kind(result), requests.len()), (ErrorKind::InvalidArgument, 0), "{job:?}");
    }
}

// ---- ids

#[tokio::test]
async fn a_thousand_jobs_are_listed_with_their_states() {
    let mut rig = Rig::open().await;
    let mut ids = rig.simulator.add_jobs(500, "RUNNING");
    ids.extend(rig.simulator.add_jobs(500, "COMPLETED"));
    let listing = rig.session.jobs(&JobQuery::Ids(ids.clone())).await.unwrap();
    let states: Vec<(String, JobState)> = listing.jobs.into_iter().map(|job| (job.job_id, job.job_state)).collect();
    let state = |at: usize| if at < 500 { JobState::Running } else { JobState::Done };
    let expected: Vec<(String, JobState)> = ids.into_iter().enumerate().map(|(at, id)| (id, state(at))).collect();
    assert_eq!(states, expected);
}

// ---- cancelling

#[tokio::test]
async fn cancelling_says_what_became_of_each() {
    let mut rig = without_lag().await;
    let ended = run(&mut rig, "#!/bin/bash\ntrue\n").await.job_id;
    let running = rig.session.submit(&submission(&rig, "#!/bin/bash\nsleep 600\n")).await.unwrap();
    let started = WaitOptions { until: WaitCondition::Started, ..FINISHED };
    assert_eq!(
        rig.session.wait(std::slice::from_ref(&running), &started).await.unwrap().jobs[0].job_state,
        JobState::Running
    );
    let held = rig.session.submit(&submission(&rig, "#!/bin/bash\n#SBATCH -H\ntrue\n")).await.unwrap();
    let ids = [ended, running.clone(), "4711".into(), held.clone()];
    let outcomes = rig.session.cancel(&ids).await.unwrap();
    use CancelOutcome as O;
    assert!(matches!(outcomes[..], [O::AlreadyFinished, O::Cancelled, O::NotFound, O::Cancelled]), "{outcomes:?}");
    for id in [running, held] {
        let job = finished(&mut rig, &id).await;
        assert_eq!(job.raw_state, "CANCELLED", "{job:?}");
    }
}

#[tokio::test]
async fn a_cancelled_job_is_never_done_before_it_is() {
    let mut rig = Rig::open().await;
    let id = rig.session.submit(&submission(&rig, "#!/bin/bash\nsleep 600\n")).await.unwrap();
    let started = WaitOptions { until: WaitCondition::Started, ..FINISHED };
    rig.session.wait(std::slice::from_ref(&id), &started).await.unwrap();
    rig.session.cancel(std::slice::from_ref(&id)).await.unwrap();
    let job = look(&mut rig, &id).await;
    assert_eq!((job.raw_state.as_str(), job.job_state), ("COMPLETING", JobState::Running));
    assert_eq!(finished(&mut rig, &id).await.raw_state, "CANCELLED");
}

#[tokio::test]
async fn many_jobs_are_cancelled_at_once() {
    let mut rig = Rig::open().await;
    let ids = rig.simulator.add_jobs(100, "RUNNING");
    let outcomes = rig.session.cancel(&ids).await.unwrap();
    assert_eq!(outcomes.len(), 100);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, CancelOutcome::Cancelled)));
    let listing = rig.session.jobs(&JobQuery::Ids(ids)).await.unwrap();
    assert!(listing.jobs.iter().all(|job| job.job_state == JobState::Done && job.raw_state == "CANCELLED"));
}

#[tokio::test]
async fn a_cancellation_that_fails_says_why() {
    let mut rig = Rig::open().await;
    let ids = rig.simulator.add_jobs(2, "RUNNING");
    let denied = "Unexpected Slurm command response. exit_status:1 std_err:scancel: error: Kill job error on job id 1: Access/permission denied";
    let body = format!(r#"{{"errorType":"error","message":"{denied}","causedBy":null,"data":null,"user":"u"}}"#);
    rig.simulator
        .plant(Fault::once(format!("/jobs/{}", ids[0]), FaultKind::Answer { status: 500, body, headers: vec![] }));
    let outcomes = rig.session.cancel(&ids).await.unwrap();
    let [CancelOutcome::Failed(error), CancelOutcome::Cancelled] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(error.message.contains("Access/permission denied"), "{error:?}");
}

// ---- waiting

#[tokio::test]
async fn waiting_ends_with_the_deadline_and_tells_how_it_stands() {
    let mut rig = Rig::open().await;
    let ids = rig.simulator.add_jobs(2, "RUNNING");
    let start = Instant::now();
    let listing = rig.session.wait(&ids, &WaitOptions { timeout_ms: Some(700), ..FINISHED }).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
    assert!(listing.jobs.iter().all(|job| job.job_state == JobState::Running));
    let listing = rig.session.wait(&ids, &WaitOptions { timeout_ms: Some(0), ..FINISHED }).await.unwrap();
    assert_eq!(listing.jobs.len(), 2, "no time still is one look");
}

#[tokio::test]
async fn waiting_for_the_first_ends_with_the_first() {
    let mut rig = Rig::open().await;
    let mut ids = rig.simulator.add_jobs(1, "RUNNING");
    ids.extend(rig.simulator.add_jobs(1, "COMPLETED"));
    let any = WaitOptions { all: false, timeout_ms: None, ..FINISHED };
    let listing = in_time("the wait", rig.session.wait(&ids, &any)).await.unwrap();
    let states: Vec<JobState> = listing.jobs.iter().map(|job| job.job_state).collect();
    assert_eq!(states, [JobState::Running, JobState::Done]);
}

#[tokio::test]
async fn waiting_without_a_deadline_ends_with_the_jobs() {
    let mut rig = Rig::open().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(rig.session.submit(&submission(&rig, "#!/bin/bash\nsleep 0.3\n")).await.unwrap());
    }
    let listing =
        in_time("the wait", rig.session.wait(&ids, &WaitOptions { timeout_ms: None, ..FINISHED })).await.unwrap();
    assert!(listing.jobs.iter().all(|job| job.raw_state == "COMPLETED"), "{listing:?}");
    assert_eq!((listing.jobs.len(), listing.missing.len()), (3, 0));
}

#[tokio::test]
async fn waiting_asks_ever_less_often() {
    let mut rig = Rig::open().await;
    let ids = rig.simulator.add_jobs(1, "RUNNING");
    let five_seconds = WaitOptions { timeout_ms: Some(5000), ..FINISHED };
    let (_, requests) = rig.count(async |s| s.wait(&ids, &five_seconds).await.unwrap()).await;
    // At first twice a second, and never more often.
    assert!((3..=12).contains(&requests.len()), "{}", requests.len());
}

/// A job too young to be known can be missing for seconds.
#[tokio::test]
async fn an_unknown_job_is_awaited_for_a_short_while_only() {
    let mut rig = Rig::open().await;
    let start = Instant::now();
    let listing =
        in_time("the wait", rig.session.wait(&["4711".into()], &WaitOptions { timeout_ms: None, ..FINISHED })).await;
    assert_eq!(listing.unwrap().missing, ["4711"]);
    assert!(start.elapsed() > Duration::from_secs(4), "{:?}", start.elapsed());
}

// ---- the system

#[tokio::test]
async fn partitions_nodes_and_reservations_are_told() {
    let mut rig = Rig::setup().knobs(|knobs| knobs.nodes = 3).open().await;
    let partitions = rig.session.partitions().await.unwrap();
    assert_eq!(partitions.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["part01", "part02", "xfer"]);
    assert!(partitions.iter().all(|p| p.state == "UP" && p.nodes == Some(3)), "{partitions:?}");
    let nodes = rig.session.nodes().await.unwrap();
    assert_eq!(nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["nid0001", "nid0002", "nid0003"]);
    assert!(nodes.iter().all(|node| !node.states.is_empty() && node.cpus.is_some()), "{nodes:?}");
    assert!(rig.session.reservations().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_scheduler_that_is_not_healthy_is_unavailable() {
    let mut rig = Rig::open().await;
    rig.simulator.set_healthy(Service::Scheduler, false);
    let error = failure(rig.session.jobs(&JobQuery::Mine).await);
    assert_eq!((error.kind, error.http_status), (ErrorKind::Unavailable, Some(503)));
    // Sent, and answered before anything was done: no doubt about the job.
    let error = failure(rig.session.submit(&submission(&rig, "#!/bin/bash\n")).await);
    assert_eq!(error.kind, ErrorKind::Unavailable);
}
