//! `demo`: one job through its whole life against the configured server, every result compared with what it should be.
//!
//! In a fresh folder: four inputs are put (text, 1 MiB of random bytes, an empty file, a name with spaces and non-ASCII letters), a
//! job script is rendered from a template and submitted; the job sorts the text's numbers and hashes all inputs; its states are
//! printed as they change; results come back and are compared with what this machine computed itself; the folder is listed with
//! attributes in one request; a tree of folders goes there and back, and where the server has an object store a file of 64 MiB, too;
//! then the folder is removed, and looked for. Any difference ends it with exit code 12.

use crate::args;
use crate::context::Context;
use crate::demo_tree;
use crate::json;
use crate::output::{Failure, bytes, remark, shown};
use aiida_firecrest_host::scheduler::{
    CodeInfo, JobQuery, JobResource, JobState, JobTemplate, RunMode, ScriptSource, Submission,
};
use aiida_firecrest_host::transport::{ListOptions, TransferOptions, Verification};
use aiida_firecrest_host::{Error, Options, Session};
use rand::Rng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the job may wait in the queue and run.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
const TEXT: &str = "numbers.txt";
const BINARY: &str = "random.bin";
const EMPTY: &str = "empty.dat";
const ODD: &str = "Größe α & Ω.txt";

/// What is put, and what has to come back.
struct Expected {
    inputs: Vec<(&'static str, Vec<u8>)>,
    results: Vec<(&'static str, Vec<u8>)>,
}

impl Expected {
    fn new() -> Expected {
        let mut random = rand::rng();
        let mut numbers: Vec<u32> = (0..1000).map(|_| random.random_range(0..1_000_000)).collect();
        let lines =
            |numbers: &[u32]| numbers.iter().map(|number| format!("{number}\n")).collect::<String>().into_bytes();
        let text = lines(&numbers);
        numbers.sort_unstable();
        let mut binary = vec![0; 1 << 20];
        random.fill(&mut binary[..]);
        let inputs = vec![
            (TEXT, text),
            (BINARY, binary),
            (EMPTY, Vec::new()),
            (ODD, "A name with spaces, an umlaut, Greek letters and an ampersand.\n".as_bytes().to_vec()),
        ];
        let sums = inputs.iter().map(|(name, content)| format!("{}  {name}\n", sha256(content))).collect::<String>();
        let mut results =
            vec![("sorted.txt", lines(&numbers)), ("checksums.txt", sums.into_bytes()), ("job.err", Vec::new())];
        // The inputs come back as well: bit for bit.
        results.extend(inputs[1..].iter().cloned());
        Expected { inputs, results }
    }
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn template(options: &Options) -> JobTemplate {
    let code = |command: &[&str], output: &str| CodeInfo {
        prepend_cmdline_params: Vec::new(),
        cmdline_params: command.iter().map(|&word| word.to_owned()).collect(),
        use_double_quotes: (false, false),
        wrap_cmdline_params: false,
        stdin_name: None,
        stdout_name: Some(output.to_owned()),
        stderr_name: None,
        join_files: false,
    };
    JobTemplate {
        shebang: None,
        submit_as_hold: false,
        rerunnable: false,
        job_environment: vec![("LC_ALL".into(), "C.UTF-8".into())],
        environment_variables_double_quotes: false,
        working_directory: None,
        email: None,
        email_on_started: false,
        email_on_terminated: false,
        job_name: Some("aiida-firecrest-demo".into()),
        sched_output_path: Some("job.out".into()),
        sched_error_path: Some("job.err".into()),
        sched_join_files: false,
        queue_name: None,
        account: options.get("billing_account").filter(|account| !account.is_empty()).map(str::to_owned),
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
        max_wallclock_seconds: Some(300),
        custom_scheduler_commands: None,
        prepend_text: Some("sleep 2".into()),
        append_text: None,
        import_sys_environment: false,
        codes_run_mode: RunMode::Serial,
        codes_info: vec![
            code(&["sort", "-n", TEXT], "sorted.txt"),
            code(&["sha256sum", TEXT, BINARY, EMPTY, ODD], "checksums.txt"),
        ],
    }
}

/// Prints each step as it ends, and gathers the document of `--json`.
struct Report<'a> {
    context: &'a Context,
    document: Value,
    started: Instant,
}

impl Report<'_> {
    fn step(&mut self, label: &str, text: impl AsRef<str>, key: &str, value: Value) -> Result<(), Failure> {
        self.document[key] = value;
        if self.context.output.is_json() {
            Ok(())
        } else {
            self.context.output.line(format!("{label:<9} {}", text.as_ref()))
        }
    }
}

pub(crate) async fn demo(context: &Context, arguments: &args::Demo) -> Result<(), Failure> {
    let mut report = Report { context, document: json!({}), started: Instant::now() };
    let plugin = context.plugin()?;
    let options = context.options(&plugin).await?;
    let policy = context.policy()?;
    let server = plugin.check(&options, &policy).await?;
    let mut session = Session::open(&plugin, &options, &policy).await?;
    let system = options.get("compute_resource").unwrap_or_default().to_owned();
    let text = format!("{} {}, system {system}, user {}", server.product, server.version, server.user.name);
    report.step(
        "server",
        text,
        "server",
        json!({"product": server.product, "version": server.version, "system": system, "user": server.user.name}),
    )?;

    let folder = fresh_folder(arguments, &options, &server.user.name)?;
    session.mkdir(&folder, true, false).await?;
    report.step("folder", shown(&folder), "folder", json!(folder))?;
    let store = server.systems.iter().find(|one| one.name == system).and_then(|one| one.transfer_method.clone());
    let outcome = cycle(&mut report, &mut session, &options, &folder, store.as_deref(), arguments.keep).await;
    if let Err(failure) = outcome {
        if !matches!(failure, Failure::BrokenPipe) {
            remark(format!("aiida-firecrest: the demo's files are left in {}", shown(&folder)));
        }
        return Err(failure);
    }

    let counters = context.engine.telemetry().counters();
    let seconds = report.started.elapsed().as_secs_f64();
    let text = format!(
        "{}, {} sent, {} received, {seconds:.1} s in all",
        counters.requests,
        bytes(counters.sent),
        bytes(counters.received)
    );
    report.step(
        "requests",
        text,
        "requests",
        json!({"count": counters.requests, "sent": counters.sent, "received": counters.received}),
    )?;
    report.document["seconds"] = json!(seconds);
    report.document["ok"] = json!(true);
    context.output.answer(|| report.document.clone(), || "ok        every result is as it should be".into())
}

async fn cycle(
    report: &mut Report<'_>,
    session: &mut Session,
    options: &Options,
    folder: &str,
    store: Option<&str>,
    keep: bool,
) -> Result<(), Failure> {
    let local = tempfile::tempdir().map_err(|error| Error::io(std::env::temp_dir(), error))?;
    let (inputs, outputs) = (local.path().join("in"), local.path().join("out"));
    for path in [&inputs, &outputs] {
        std::fs::create_dir(path).map_err(|error| Error::io(path, error))?;
    }
    let expected = Expected::new();
    let meter = report.context.meter(None, None);
    meter.follow(session, 0)?;

    let started = Instant::now();
    let (mut moved, mut verified) = (0, Verification::Checksum);
    for (name, content) in &expected.inputs {
        let path = inputs.join(name);
        std::fs::write(&path, content).map_err(|error| Error::io(&path, error))?;
        let summary = session.put(&path, &format!("{folder}/{name}"), &TransferOptions::default()).await?;
        same(&format!("bytes put of {name}"), &summary.bytes, &(content.len() as u64))?;
        moved += summary.bytes;
        verified = summary.verified;
        meter.ended(0, summary.bytes, summary.files);
    }
    meter.clear();
    let names: Vec<&str> = expected.inputs.iter().map(|(name, _)| *name).collect();
    report.step(
        "put",
        format!(
            "{} files, {}, verified by {}, {}: {}",
            names.len(),
            bytes(moved),
            json::verification(verified),
            seconds(started),
            names.join(", ")
        ),
        "put",
        json!({"files": names, "bytes": moved, "verified": json::verification(verified)}),
    )?;

    let script = session.script(&template(options)).await?;
    let path = inputs.join("job.sh");
    std::fs::write(&path, &script).map_err(|error| Error::io(&path, error))?;
    session.put(&path, &format!("{folder}/job.sh"), &TransferOptions::default()).await?;
    let shown_script = script.trim_end().replace('\n', "\n          ");
    report.step("script", shown_script, "script", json!(script))?;

    let submission = Submission {
        script: ScriptSource::Path(format!("{folder}/job.sh")),
        working_directory: folder.to_owned(),
        name: None,
        account: None,
        environment: Vec::new(),
    };
    let id = session.submit(&submission).await?;
    report.step("job", &id, "job_id", json!(id))?;
    watch(report, session, &id).await?;

    let started = Instant::now();
    for (name, content) in &expected.results {
        fetch(session, folder, name, content, &outputs).await?;
    }
    let total: u64 = expected.results.iter().map(|(_, content)| content.len() as u64).sum();
    let names: Vec<&str> = expected.results.iter().map(|(name, _)| *name).collect();
    report.step(
        "get",
        format!(
            "{} files, {}, all as computed here, {}: {}",
            names.len(),
            bytes(total),
            seconds(started),
            names.join(", ")
        ),
        "get",
        json!({"files": names, "bytes": total}),
    )?;
    let binary = &expected.inputs[1].1;
    same(
        "the cluster's checksum of random.bin",
        &session.checksum(&format!("{folder}/{BINARY}")).await?,
        &sha256(binary),
    )?;

    list(report, session, options, folder, &expected).await?;
    let step = demo_tree::tree(session, folder, local.path()).await?;
    report.step("tree", step.text, "tree", step.document)?;
    if store == Some("s3") {
        let meter = report.context.meter(None, None);
        meter.follow(session, 0)?;
        let step = demo_tree::large(session, folder, local.path()).await;
        meter.clear();
        let step = step?;
        report.step("large", step.text, "large", step.document)?;
    } else {
        let text = match store {
            Some(other) => format!("skipped: large files travel by {other} here, not by s3"),
            None => "skipped: this server has no way for large files".into(),
        };
        report.step("large", text, "large", Value::Null)?;
    }
    if keep {
        return report.step("kept", shown(folder), "removed", json!(false));
    }
    session.remove_tree(folder).await?;
    same("the folder is there after it was removed", &session.exists(folder).await?, &false)?;
    report.step("removed", "the folder is gone", "removed", json!(true))
}

fn fresh_folder(arguments: &args::Demo, options: &Options, user: &str) -> Result<String, Failure> {
    let below =
        arguments.below.as_deref().or(options.get("workdir")).or(options.get("temp_directory")).unwrap_or_default();
    // AiiDA's own placeholder.
    let below = below.replace("{username}", user);
    if !below.starts_with('/') {
        return Err(Failure::usage(
            "--below",
            "an absolute folder on the cluster is needed, here or as workdir in the configuration",
        ));
    }
    let number: u64 = rand::rng().random();
    Ok(format!("{}/aiida-firecrest-demo-{number:016x}", below.trim_end_matches('/')))
}

/// Asks again and again, ever less often, and prints each change.
async fn watch(report: &mut Report<'_>, session: &mut Session, id: &str) -> Result<(), Failure> {
    let started = Instant::now();
    let query = JobQuery::Ids(vec![id.to_owned()]);
    let mut pause = Duration::from_millis(250);
    let mut last = String::new();
    let mut states = Vec::new();
    loop {
        let listing = session.jobs(&query).await?;
        let (state, raw, exit_status) = match listing.jobs.first() {
            Some(job) => (job.job_state, job.raw_state.clone(), job.exit_status),
            // A young job can be unknown for seconds.
            None => (JobState::Undetermined, "not known yet".into(), None),
        };
        let text = format!("{} ({})", json::state(state), shown(&raw));
        if text != last {
            let elapsed = started.elapsed().as_secs_f64();
            states.push(json!({"state": json::state(state), "raw_state": raw, "seconds": elapsed}));
            report.step("state", format!("{text}, after {elapsed:.1} s"), "states", json!(states))?;
            last = text;
        }
        if state == JobState::Done {
            same("the job's exit status", &exit_status, &Some(0))?;
            return same("the scheduler's word for the job's end", &raw.as_str(), &"COMPLETED");
        }
        if started.elapsed() > PATIENCE {
            return Err(Failure::Answered { line: format!("job {id} has not ended within an hour"), code: 9 });
        }
        tokio::time::sleep(pause).await;
        pause = pause.mul_f64(1.3).min(Duration::from_secs(10));
    }
}

async fn fetch(session: &mut Session, folder: &str, name: &str, content: &[u8], outputs: &Path) -> Result<(), Failure> {
    let path = outputs.join(name);
    session.get(&format!("{folder}/{name}"), &path, &TransferOptions::default()).await?;
    let got = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
    if got == content {
        return Ok(());
    }
    Err(Failure::Wrong(format!(
        "{name} is not what it should be: {} bytes came, {} were expected",
        got.len(),
        content.len()
    )))
}

/// All entries with their attributes, in one request, are those that were put and written.
async fn list(
    report: &mut Report<'_>,
    session: &mut Session,
    options: &Options,
    folder: &str,
    expected: &Expected,
) -> Result<(), Failure> {
    let before = session.telemetry().counters().requests;
    let entries = session.list(folder, &ListOptions { recursive: false, hidden: false, pattern: None }).await?;
    let requests = session.telemetry().counters().requests - before;
    // A token that ran out just now is renewed, which is no part of listing.
    let token = options.get("token_uri").unwrap_or_default();
    let latest = session.telemetry().records();
    let latest = latest.iter().rev().take(usize::try_from(requests).unwrap_or(usize::MAX));
    let requests = latest.filter(|record| format!("{}{}", record.origin, record.path) != token).count();
    for (name, content) in expected.inputs.iter().chain(&expected.results) {
        let Some(entry) = entries.iter().find(|entry| entry.path == *name) else {
            return Err(Failure::Wrong(format!("{name} is missing in the listing of the folder")));
        };
        same(&format!("the size of {name} in the listing"), &entry.size, &(content.len() as u64))?;
    }
    same("the requests for one listing", &requests, &1)?;
    report.step(
        "list",
        format!("{} entries with their attributes in 1 request", entries.len()),
        "list",
        json!({"entries": entries.len(), "requests": 1}),
    )
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), Failure> {
    if found == expected { Ok(()) } else { Err(Failure::Wrong(format!("{what}: {found:?} in place of {expected:?}"))) }
}

fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}
