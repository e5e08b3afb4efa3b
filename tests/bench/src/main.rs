//! `make bench`: the component beside what a user would pick instead, on one server, in one run.
//!
//! | file | holds |
//! |---|---|
//! | `works.rs` | the rows: how each is prepared without a request, and how its result is checked |
//! | `measure.rs` | the run: every row for every peer, in turn, round by round |
//! | `ours.rs`, `driver.rs`, `floor.rs` | the peers: the component in this process; those of Python; a plain client with the least requests |
//! | `server.rs` | the simulator, in a process of its own |
//! | `results.rs`, `stats.rs` | what a run found, and its medians |
//! | `goals.rs`, `table.rs`, `chart.rs`, `page.rs` | what is said of it: goals met and missed, the table, the chart, BENCHMARKS.md |
//! | `growth.rs` | how cost grows with files, bytes, jobs and sessions |

mod chart;
mod driver;
mod floor;
mod goals;
mod growth;
mod http;
mod measure;
mod ours;
mod page;
mod place;
mod results;
mod server;
mod stats;
mod table;
mod task;
mod works;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::measure::{Extent, Places};
use crate::results::Run;

/// Compares the component with aiida-firecrest, pyfirecrest and a plain HTTP client. See BENCHMARKS.md.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Arguments {
    /// The virtual environment with the peers (.ci/bench makes it); the one in the target folder unless given
    #[arg(long, value_name = "DIR")]
    venv: Option<PathBuf>,
    /// Leave out what is largest and slowest, and stop peers early
    #[arg(long)]
    quick: bool,
    /// So many rounds of every row
    #[arg(long)]
    rounds: Option<usize>,
    /// Latencies of the network in milliseconds
    #[arg(long, value_name = "MS,…", value_delimiter = ',')]
    latency: Option<Vec<u64>>,
    /// Rows whose name holds this; nothing is written
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// These peers; nothing is written
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    peers: Option<Vec<String>>,
    /// Stop a peer that takes longer for a work
    #[arg(long, value_name = "SECONDS")]
    cap: Option<f64>,
    /// Keep files here while it runs; /dev/shm where that has room, else the temporary folder
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Measure how cost grows, in place of the comparison
    #[arg(long)]
    growth: bool,
    /// Write the page anew from the last results
    #[arg(long)]
    page_only: bool,
}

/// More than a whole run ever holds at once: four copies of 1 GiB.
const ROOM: u64 = 6 << 30;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let target = target_folder()?;
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("the repository")?;
    let page = page::Page { repository: repository.to_owned(), folder: target.join("bench") };
    std::fs::create_dir_all(&page.folder)?;
    if arguments.page_only {
        return page.write();
    }
    let place = arguments.work.clone().unwrap_or_else(roomy);
    let work = tempfile::Builder::new().prefix("firecrest-bench-").tempdir_in(&place)?;
    // The simulated user has to get to its home below.
    std::fs::set_permissions(work.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let venv = arguments.venv.clone().unwrap_or_else(|| target.join("venv-bench"));
    let places = Places {
        simulator: std::env::current_exe()?.with_file_name("firecrest-simulator"),
        python: venv.join("bin/python"),
        scripts: repository.join("tests/bench/peers"),
        work: work.path().to_owned(),
    };
    if arguments.growth {
        let growth = growth::run(&places).await?;
        page.keep_growth(&growth)?;
        return page.write();
    }
    // On a thread of the runtime, as in a service: so that neither our calls nor the floor's wake another one for each request.
    tokio::spawn(async move { compare(&arguments, &places, &page).await }).await?
}

async fn compare(arguments: &Arguments, places: &Places, page: &page::Page) -> Result<()> {
    let extent = Extent {
        quick: arguments.quick,
        rounds: arguments.rounds,
        latencies: arguments.latency.clone(),
        only: arguments.only.clone(),
        peers: arguments.peers.clone(),
        cap: arguments.cap.unwrap_or(if arguments.quick { 12.0 } else { 60.0 }),
    };
    let start = Instant::now();
    let rows = measure::run(places, &extent, |row| println!("{}", table::line(row))).await?;
    let mut run = Run { rows, quick: arguments.quick, ..Run::default() };
    run.command = if run.quick { "make bench QUICK=1" } else { "make bench" }.to_owned();
    if let Some(latencies) = &arguments.latency {
        let latencies: Vec<String> = latencies.iter().map(u64::to_string).collect();
        run.command = format!("BENCH='--latency {}' {}", latencies.join(","), run.command);
    }
    if extent.only.is_some() || extent.peers.is_some() {
        return Ok(());
    }
    measure::describe(&mut run, places)?;
    run.took = start.elapsed().as_secs_f64();
    println!("\n{}\n\n{}", table::terminal(&run), goals::text(&run));
    page.keep(&run)?;
    page.write()
}

/// This program lies in `TARGET/PROFILE`, beside the simulator.
fn target_folder() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.ancestors().nth(2).context("the target folder")?.to_owned())
}

/// Memory, where it has room: disks would blur the figures.
fn roomy() -> PathBuf {
    let output = std::process::Command::new("df").args(["--output=avail", "-B1", "/dev/shm"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let free: u64 = text.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or_default();
    if free > ROOM { "/dev/shm".into() } else { std::env::temp_dir() }
}
