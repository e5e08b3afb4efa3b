//! How cost grows: requests, time and memory against the number of files, bytes, jobs and sessions, of the component through the Rust host.
//!
//! Memory is the most that this process held during the work (`VmHWM`, set back before it), over what it held before.

use std::fs;
use std::time::{Duration, Instant};

use aiida_firecrest_host::scheduler::JobQuery;
use aiida_firecrest_host::transport::TransferOptions;
use aiida_firecrest_host::{CodeCache, Engine, Plugin, Policy, Session};
use anyhow::Result;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::measure::Places;
use crate::ours::options;
use crate::place;
use crate::server::Server;

/// The network's latency.
pub(crate) const LATENCY_MS: u64 = 20;
const FILES: [usize; 4] = [10, 100, 1000, 10_000];
const MIB: [u64; 5] = [1, 16, 64, 256, 1024];
const JOBS: [usize; 4] = [10, 100, 1000, 10_000];
const SESSIONS: [usize; 4] = [1, 10, 100, 1000];

/// All that was measured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Growth {
    pub(crate) date: String,
    pub(crate) points: Vec<Point>,
}

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) work: String,
    /// How many.
    pub(crate) number: u64,
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    /// Bytes of bodies, both ways.
    pub(crate) bytes: u64,
    /// KiB over what was held before.
    pub(crate) memory_kib: u64,
}

/// A server and a session on it.
struct Rig {
    server: Server,
    session: Session,
    local: tempfile::TempDir,
    points: Vec<Point>,
}

/// Measures it all.
pub(crate) async fn run(places: &Places) -> Result<Growth> {
    let engine = Engine::on_runtime(&CodeCache::User, Handle::current())?;
    let plugin = Plugin::built_in(&engine)?;
    let mut points = Vec::new();
    for part in ["files", "bytes", "jobs", "sessions"] {
        let mut rig = Rig::open(places, &plugin).await?;
        match part {
            "files" => rig.files().await?,
            "bytes" => rig.bytes().await?,
            "jobs" => rig.jobs().await?,
            _ => rig.sessions(&plugin).await?,
        }
        points.append(&mut rig.points);
    }
    let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output()?;
    Ok(Growth { date: String::from_utf8_lossy(&date.stdout).trim().to_owned(), points })
}

impl Rig {
    async fn open(places: &Places, plugin: &Plugin) -> Result<Self> {
        let server = Server::start(&places.simulator, &places.work, LATENCY_MS).await?;
        let options = options(&server.config)?;
        let session = Session::open(plugin, &options, &Policy::default()).await?;
        let local = tempfile::Builder::new().prefix("fcl-").tempdir_in(&places.work)?;
        Ok(Self { server, session, local, points: Vec::new() })
    }

    async fn note(&mut self, work: &str, number: u64, start: Instant, before: u64) -> Result<()> {
        let (seconds, most) = (start.elapsed().as_secs_f64(), status("VmHWM"));
        let counts = self.server.counts().await?;
        let point = Point {
            work: work.into(),
            number,
            seconds,
            requests: counts.requests + counts.tokens + counts.s3_requests,
            bytes: counts.bytes_in + counts.bytes_out,
            memory_kib: most.saturating_sub(before),
        };
        println!("{point:?}");
        self.points.push(point);
        Ok(())
    }

    async fn files(&mut self) -> Result<()> {
        for count in FILES {
            let (tree, back) = (self.local.path().join("tree"), self.local.path().join("back"));
            place::tree(&tree, count)?;
            let there = format!("{}/tree{count}", self.server.text("workdir"));
            let before = self.begin().await?;
            let start = Instant::now();
            self.session.put(&tree, &there, &Default::default()).await?;
            self.note("files put", count as u64, start, before).await?;
            let before = self.begin().await?;
            let start = Instant::now();
            self.session.get(&there, &back, &Default::default()).await?;
            self.note("files got", count as u64, start, before).await?;
            place::same_tree(&tree, &back)?;
            fs::remove_dir_all(&tree)?;
            fs::remove_dir_all(&back)?;
        }
        Ok(())
    }

    async fn bytes(&mut self) -> Result<()> {
        let verified = TransferOptions { verify: Some(true), ..Default::default() };
        for mib in MIB {
            let (file, back) = (self.local.path().join("file"), self.local.path().join("back"));
            place::file(&file, mib << 20, mib)?;
            let there = format!("{}/file", self.server.text("workdir"));
            let before = self.begin().await?;
            let start = Instant::now();
            self.session.put(&file, &there, &verified).await?;
            self.note("MiB put, verified", mib, start, before).await?;
            let before = self.begin().await?;
            let start = Instant::now();
            self.session.get(&there, &back, &verified).await?;
            self.note("MiB got, verified", mib, start, before).await?;
            place::same_file(&file, &back)?;
        }
        Ok(())
    }

    async fn jobs(&mut self) -> Result<()> {
        let mut ids = Vec::new();
        for count in JOBS {
            ids.extend(self.server.add_jobs(count - ids.len()).await?);
            let before = self.begin().await?;
            let start = Instant::now();
            let listing = self.session.jobs(&JobQuery::Ids(ids.clone())).await?;
            anyhow::ensure!(listing.jobs.len() == count, "{} jobs of {count}", listing.jobs.len());
            self.note("jobs looked at", count as u64, start, before).await?;
        }
        Ok(())
    }

    async fn sessions(&mut self, plugin: &Plugin) -> Result<()> {
        let state = self.session.state().await?;
        let options = options(&self.server.config)?;
        let path = self.server.text("workdir").to_owned();
        for count in SESSIONS {
            let before = self.begin().await?;
            let start = Instant::now();
            let mut crew = Vec::with_capacity(count);
            for _ in 0..count {
                crew.push(Session::open_with(plugin, &options, &Policy::default(), Some(&state)).await?);
            }
            self.note("sessions opened, idle", count as u64, start, before).await?;
            let before = self.begin().await?;
            let start = Instant::now();
            try_join_all(crew.iter_mut().map(|session| session.exists(&path))).await?;
            self.note("sessions at work at once, one request each", count as u64, start, before).await?;
        }
        Ok(())
    }

    /// What the process holds now; from here on its most is counted anew.
    async fn begin(&self) -> Result<u64> {
        self.server.forget().await?;
        // What the last work freed is given back first.
        tokio::time::sleep(Duration::from_millis(200)).await;
        // proc(5): 5 sets the peak resident set size back.
        let _ = fs::write("/proc/self/clear_refs", "5");
        Ok(status("VmRSS"))
    }
}

/// A line of this process's status, in KiB.
fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

impl Growth {
    /// A table for each work.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::from("| what | number | time | requests | bytes | memory |\n|---|---|---|---|---|---|\n");
        for point in &self.points {
            out += &format!(
                "| {} | {} | {} | {} | {} | {:.1} MiB |\n",
                point.work,
                point.number,
                crate::table::plain(point.seconds),
                point.requests,
                crate::table::bytes(point.bytes),
                point.memory_kib as f64 / 1024.0
            );
        }
        out
    }

    fn point(&self, work: &str, number: u64) -> Option<&Point> {
        self.points.iter().find(|point| point.work == work && point.number == number)
    }

    /// What the two goals about sessions found.
    pub(crate) fn goals(&self) -> Vec<crate::goals::Goal> {
        let idle = self.point("sessions opened, idle", 1000).map(|point| point.memory_kib as f64 / 1000.0);
        let at_work = self.point("sessions at work at once, one request each", 1000);
        vec![
            crate::goals::Goal {
                work: "a further idle session".into(),
                goal: "under 1 MiB".into(),
                figure: idle.map_or_else(|| "–".into(), |kib| format!("{kib:.0} KiB")),
                met: idle.map(|kib| kib < 1024.0),
            },
            crate::goals::Goal {
                work: "1,000 sessions at work at once in one process".into(),
                goal: "all answered".into(),
                figure: at_work
                    .map_or_else(|| "–".into(), |point| format!("in {}", crate::table::plain(point.seconds))),
                met: at_work.map(|_| true),
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_takes_more_than_a_mebibyte_misses_its_goal() {
        let met = |memory_kib| {
            let work = "sessions opened, idle".to_owned();
            let point = Point { work, number: 1000, seconds: 1.0, requests: 0, bytes: 0, memory_kib };
            Growth { points: vec![point], ..Growth::default() }.goals()[0].met
        };
        assert_eq!((met(900_000), met(1_100_000)), (Some(true), Some(false)));
        assert_eq!(Growth::default().goals()[0].met, None);
    }
}
