//! Sessions by the number, each number in a process of its own: what a further one costs in memory, idle and after work, and how long it
//! takes until all have made one call at the same time.

use crate::canned;
use aiida_firecrest_host::{CodeCache, Engine, Plugin, Policy, Session};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

const SESSIONS: &str = "FIRECREST_BENCH_SESSIONS";
const SERVER: &str = "FIRECREST_BENCH_SERVER";

/// Is this one of the processes?
pub fn is_child() -> bool {
    std::env::var_os(SESSIONS).is_some()
}

/// Starts them one after the other, each prints its line.
pub fn report(server: SocketAddr) {
    more_files();
    println!(
        "\nsessions | opened in | idle: RSS | a further one | its linear memory | a stat each, at once | then: RSS"
    );
    for count in [1, 100, 1000] {
        let mut program = Command::new(std::env::current_exe().expect("this program"));
        let status = program.env(SESSIONS, count.to_string()).env(SERVER, server.to_string()).status();
        assert!(status.expect("a process").success());
    }
}

/// Opens so many sessions, and prints what they cost.
pub fn child() {
    more_files();
    let read = |name: &str| std::env::var(name).expect("given by the parent");
    let (count, server): (usize, SocketAddr) =
        (read(SESSIONS).parse().expect("a number"), read(SERVER).parse().expect("an address"));
    tokio::runtime::Runtime::new().expect("a runtime").block_on(measure(count, server));
}

async fn measure(count: usize, server: SocketAddr) {
    let plugin = Plugin::built_in(&Engine::new(&CodeCache::User).expect("an engine")).expect("the component");
    let (options, policy) = (canned::options(server).into_iter().collect(), Policy::default());
    let mut first = Session::open(&plugin, &options, &policy).await.expect("a session");
    let state = first.state().await.expect("a state");
    let before = resident();
    let mut sessions = vec![first];
    let start = Instant::now();
    for _ in 1..count {
        let session = Session::open_with(&plugin, &options, &policy, Some(&state)).await;
        sessions.push(session.expect("a session"));
    }
    let (opened, idle) = (start.elapsed(), resident());
    let linear = sessions.last().and_then(|session| session.memory()).unwrap_or_default();

    let start = Instant::now();
    let work = sessions.into_iter().map(|mut session| {
        tokio::spawn(async move {
            assert_eq!(session.stat("/home/u/file").await.expect("attributes").size, 1024);
            session
        })
    });
    let worked = futures_util::future::join_all(work.collect::<Vec<_>>()).await;
    let done = start.elapsed();
    assert_eq!(worked.into_iter().filter(Result::is_ok).count(), count);
    let further = idle.saturating_sub(before) as f64 / count.saturating_sub(1).max(1) as f64;
    println!(
        "{count} | {opened:.1?} | {} MiB | {:.0} KiB | {} KiB | {done:.1?} | {} MiB",
        idle >> 20,
        further / 1024.0,
        linear >> 10,
        resident() >> 20
    );
}

/// Bytes of this process in memory (Linux).
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or_default() << 10
}

/// A thousand sessions at work are a thousand connections: as many as the system allows.
fn more_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
