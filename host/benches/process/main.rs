//! What happens inside the process, measured: what the sandbox costs, and what sessions cost.
//!
//! `cargo bench -p aiida-firecrest-host --bench process` (`-- --quick` for a first look, `-- stat` or `-- sessions` for a part). The component talks
//! to a server in this process that answers at once (`canned.rs`); beside it stand the same rules compiled natively (`native.rs`)
//! and a plain client that sends the same request and throws the answer away. Memory and many sessions at once are measured in
//! processes of their own (`sessions.rs`). The figures of the last run are in `host/benches/README.md`.

mod answers;
mod canned;
mod native;
mod sessions;

use aiida_firecrest::archive::{Event, Limits, Member, MemberKind, Reader, Targets, write};
use aiida_firecrest::firecrest::v2::{listing, models};
use aiida_firecrest::scheduler::service::JobQuery as NativeQuery;
use aiida_firecrest::transport::inspect::ListOptions as NativeListOptions;
use aiida_firecrest_host::scheduler::{JobQuery, JobResource, JobTemplate, RunMode};
use aiida_firecrest_host::transport::{ListOptions, TransferOptions};
use aiida_firecrest_host::{CodeCache, Engine, Options, Plugin, Policy, Session};
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use http_body_util::{BodyExt, Full};
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

fn main() {
    if sessions::is_child() {
        return sessions::child();
    }
    let mut criterion = Criterion::default().configure_from_args();
    loading(&mut criterion);
    let server = canned::start();
    calls(&mut criterion, server);
    long_answers(&mut criterion, server);
    archives(&mut criterion);
    streams(&mut criterion, server);
    criterion.final_summary();
    // A filter asks for a part of the above.
    if std::env::args().skip(1).all(|argument| argument.starts_with('-') || argument == "sessions") {
        sessions::report(server);
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The built-in component, or that of the file `FIRECREST_BENCH_COMPONENT`, to compare two.
fn plugin() -> Plugin {
    let engine = Engine::new(&CodeCache::User).expect("an engine");
    match std::env::var_os("FIRECREST_BENCH_COMPONENT") {
        Some(file) => Plugin::from_file(&engine, file).expect("a component"),
        None => Plugin::built_in(&engine).expect("the component"),
    }
}

fn options(server: SocketAddr) -> Options {
    canned::options(server).into_iter().collect()
}

async fn session(plugin: &Plugin, server: SocketAddr) -> Session {
    Session::open(plugin, &options(server), &Policy::default()).await.expect("a session")
}

/// Times an asynchronous expression: `timed!(group, runtime, "name", expression)`.
macro_rules! timed {
    ($group:expr, $runtime:expr, $name:expr, $body:expr) => {
        $group.bench_function($name, |bencher| {
            bencher.iter_custom(|rounds| {
                $runtime.block_on(async {
                    let start = Instant::now();
                    for _ in 0..rounds {
                        black_box($body);
                    }
                    start.elapsed()
                })
            });
        })
    };
}

fn group<'c>(criterion: &'c mut Criterion, name: &str, samples: usize, seconds: u64) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(samples).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(seconds));
    group
}

fn loading(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = group(criterion, "plugin", 10, 4);
    group.bench_function("compiled", |bencher| {
        bencher.iter(|| Plugin::built_in(&Engine::new(&CodeCache::Off).expect("an engine")).expect("the component"));
    });
    group.sample_size(50);
    let folder = tempfile::tempdir().expect("a folder");
    let cache = CodeCache::Folder(folder.path().to_owned());
    let ready = || Plugin::built_in(&Engine::new(&cache).expect("an engine")).expect("the component");
    drop(ready());
    group.bench_function("ready from the cache", |bencher| {
        bencher.iter_batched(|| (), |()| ready(), BatchSize::PerIteration)
    });
    let plugin = ready();
    timed!(group, runtime, "instantiated, asked what it is, dropped", plugin.describe().await.expect("an answer"));
    group.finish();
}

fn template() -> JobTemplate {
    let resource = JobResource {
        num_machines: Some(1),
        num_mpiprocs_per_machine: Some(1),
        num_cores_per_machine: None,
        num_cores_per_mpiproc: None,
        tot_num_mpiprocs: None,
    };
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
        job_name: Some("job".into()),
        sched_output_path: None,
        sched_error_path: None,
        sched_join_files: false,
        queue_name: None,
        account: None,
        qos: None,
        job_resource: Some(resource),
        priority: None,
        max_memory_kb: None,
        max_wallclock_seconds: None,
        custom_scheduler_commands: None,
        prepend_text: None,
        append_text: None,
        import_sys_environment: false,
        codes_run_mode: RunMode::Serial,
        codes_info: Vec::new(),
    }
}

/// One call without a request, and one with one: in the sandbox, natively, and as nothing but HTTP.
fn calls(criterion: &mut Criterion, server: SocketAddr) {
    let runtime = runtime();
    let plugin = plugin();
    let mut group = group(criterion, "call", 50, 4);
    let mut session = runtime.block_on(session(&plugin, server));
    let (options, policy) = (options(server), Policy::default());
    let state = runtime.block_on(session.state()).expect("a state");
    timed!(group, runtime, "a further session, from a state", {
        Session::open_with(&plugin, &options, &policy, Some(&state)).await.expect("a session")
    });
    timed!(group, runtime, "origins (no request)", session.origins().await.expect("an answer"));
    let template = template();
    timed!(group, runtime, "script (no request)", session.script(&template).await.expect("a script"));
    group.finish();

    // Connections where the calls are, as in the native client.
    let engine = Engine::on_runtime(&CodeCache::User, runtime.handle().clone()).expect("an engine");
    let mut close = runtime.block_on(self::session(&Plugin::built_in(&engine).expect("the component"), server));
    let native = runtime.block_on(native::open(&canned::options(server)));
    let client = native::client();
    let token = "x".repeat(1200);
    for (name, path) in [("stat", "/home/u/file"), ("stat, the server taking 7 ms", canned::SLOW_PATH)] {
        let mut group = self::group(criterion, name, 50, 6);
        let url = format!("http://{server}/filesystem/cluster/ops/stat?path={path}&dereference=true");
        let plain = async || {
            let request = hyper::Request::get(&url).header("authorization", format!("Bearer {token}"));
            let request = request.body(Full::default()).expect("a request");
            client.request(request).await.expect("an answer").into_body().collect().await.expect("a body").to_bytes()
        };
        timed!(group, runtime, "HTTP alone", plain().await);
        timed!(group, runtime, "rules, native", native.stat(path).await.expect("attributes"));
        timed!(group, runtime, "rules, sandboxed", session.stat(path).await.expect("attributes"));
        timed!(group, runtime, "rules, sandboxed, on one thread", close.stat(path).await.expect("attributes"));
        group.finish();
    }
}

fn long_answers(criterion: &mut Criterion, server: SocketAddr) {
    let runtime = runtime();
    let plugin = plugin();
    let native = runtime.block_on(native::open(&canned::options(server)));
    let mut session = runtime.block_on(session(&plugin, server));

    let mut entries = group(criterion, "list of 10,000", 10, 4);
    entries.throughput(Throughput::Elements(canned::MANY as u64));
    let how = NativeListOptions { recursive: false, hidden: false, pattern: None };
    timed!(entries, runtime, "rules, native", native.list("/home/u", &how).await.expect("entries"));
    let how = ListOptions { recursive: false, hidden: false, pattern: None };
    timed!(entries, runtime, "rules, sandboxed", session.list("/home/u", &how).await.expect("entries"));
    let text = answers::listing(canned::MANY);
    entries.bench_function("parsed alone, native", |bencher| bencher.iter(|| parse_listing(&text)));
    entries.finish();

    let mut jobs = group(criterion, "jobs of 10,000", 10, 4);
    jobs.throughput(Throughput::Elements(canned::MANY as u64));
    timed!(jobs, runtime, "rules, native", native.jobs(NativeQuery::Mine).await.expect("jobs"));
    timed!(jobs, runtime, "rules, sandboxed", session.jobs(&JobQuery::Mine).await.expect("jobs"));
    jobs.finish();
}

fn parse_listing(text: &str) -> usize {
    let answer: models::Output<Vec<models::WireEntry>> = serde_json::from_str(text).expect("a listing");
    answer.output.into_iter().map(|line| listing::entry(line).expect("an entry")).filter(|entry| entry.size > 0).count()
}

/// 10,000 files of 1 KiB, packed and unpacked in memory.
fn archives(criterion: &mut Criterion) {
    let mut group = group(criterion, "tar of 10,000 files of 1 KiB", 20, 3);
    let tar = pack();
    group.throughput(Throughput::Bytes(tar.len() as u64));
    group.bench_function("packed", |bencher| bencher.iter(pack));
    group.bench_function("unpacked", |bencher| bencher.iter(|| unpack(&tar)));
    group.finish();
}

fn pack() -> Vec<u8> {
    let content = [7; 1024];
    let mut stream = Vec::new();
    for number in 0..canned::MANY {
        let path = format!("folder/of/results/calculation-{number:05}.out").into_bytes();
        let kind = MemberKind::File { size: content.len() as u64 };
        stream.extend_from_slice(&write::head(&Member { path, kind, mode: 0o644, mtime: 1_790_000_000 }));
        stream.extend_from_slice(&content);
        stream.resize(stream.len() + write::padding(content.len() as u64), 0);
    }
    stream.extend_from_slice(&write::END);
    stream
}

fn unpack(stream: &[u8]) -> u64 {
    let (mut reader, mut targets) = (Reader::new(), Targets::new(0, Limits::default()));
    let mut bytes = 0;
    for mut piece in stream.chunks(256 << 10) {
        loop {
            let (used, event) = reader.feed(piece).expect("a tar stream");
            piece = &piece[used..];
            match event {
                Some(Event::Member(member)) => drop(black_box(targets.place(&member).expect("a place"))),
                Some(Event::Content(content)) => bytes += content.len() as u64,
                Some(_) => {}
                None => break,
            }
        }
    }
    bytes
}

/// Bytes that pass by the guest's memory, and bytes that pass through it to be hashed.
fn streams(criterion: &mut Criterion, server: SocketAddr) {
    let runtime = runtime();
    let plugin = plugin();
    let mut session = runtime.block_on(session(&plugin, server));
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (folder.path().join("from.bin"), folder.path().join("to.bin"));
    std::fs::File::create(&from).and_then(|file| file.set_len(canned::LARGE)).expect("a file of zeros");
    let mut group = group(criterion, "256 MiB", 10, 5);
    group.throughput(Throughput::Bytes(canned::LARGE));
    for (name, verify) in [("not verified", false), ("verified by SHA-256", true)] {
        let how = TransferOptions { verify: Some(verify), ..TransferOptions::default() };
        timed!(
            group,
            runtime,
            format!("put, {name}"),
            session.put(&from, canned::LARGE_PATH, &how).await.expect("a put")
        );
        timed!(
            group,
            runtime,
            format!("get, {name}"),
            session.get(canned::LARGE_PATH, &to, &how).await.expect("a get")
        );
    }
    group.finish();
}
