//! The goals, each with its figure, computed from a run.

use crate::results::{Run, Time};
use crate::stats::median;

/// Whom a user would otherwise pick.
const OTHERS: [&str; 2] = ["aiida-firecrest", "pyfirecrest"];
const US: &str = "us-rust";
const FLOOR: &str = "floor";

/// One goal.
#[derive(Debug, PartialEq)]
pub(crate) struct Goal {
    pub(crate) work: String,
    pub(crate) goal: String,
    /// What was found.
    pub(crate) figure: String,
    /// None where the run has nothing to say.
    pub(crate) met: Option<bool>,
}

impl Goal {
    /// The word in the table.
    pub(crate) fn word(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not in this run",
        }
    }
}

/// All goals that a comparison can decide.
pub(crate) fn all(run: &Run) -> Vec<Goal> {
    let mut goals = Vec::new();
    for work in ["stat", "mkdir", "submit", "put 1 KiB"] {
        goals.push(over_floor(run, work, 0, 1.1));
        goals.push(over_floor(run, work, 20, 1.02));
    }
    goals.push(faster(run, "jobs, 100 ids", 20, 50.0, &["aiida-firecrest"]));
    goals.push(faster(run, "jobs, 1,000 ids", 20, 200.0, &["aiida-firecrest"]));
    goals.push(faster(run, "list with attributes, 1,000", 20, 100.0, &["aiida-firecrest"]));
    for work in ["put 1 MiB", "put 5 MiB"] {
        goals.push(faster(run, work, 20, 20.0, &OTHERS));
    }
    goals.push(over_floor(run, "put 64 MiB", 20, 1.5));
    for work in ["put 1 GiB, unverified", "get 1 GiB, unverified", "put 1 GiB, verified", "get 1 GiB, verified"] {
        goals.push(of_floor(run, work, 0, 0.9));
    }
    for way in ["put", "get"] {
        let tree = format!("{way} a tree of 1,000 files");
        goals.push(faster(run, &tree, 20, 1.5, &["aiida-firecrest"]));
        let each = format!("{tree}, file by file");
        goals.push(across(run, &tree, &each, 20, 50.0));
    }
    let watch = "200 jobs submitted and watched";
    goals.push(fewer_requests(run, watch, 20, 10.0));
    goals.push(faster(run, watch, 20, 5.0, &["aiida-firecrest"]));
    goals.push(of_floor(run, "100 × exists, at once", 20, 0.9));
    goals.push(below(median(&run.ready), "plugin ready from the cache", 0.005));
    goals.push(size(run));
    goals.push(below(
        run.imports.get("aiida_firecrest_wasm").and_then(|all| median(all)),
        "`import` over AiiDA's own",
        0.15,
    ));
    goals
}

/// For the terminal.
pub(crate) fn text(run: &Run) -> String {
    let lines = all(run).into_iter().map(|goal| {
        format!("{:<10} {}: {} (goal: {})\n", goal.word().trim_matches('*'), goal.work, goal.figure, goal.goal)
    });
    lines.collect()
}

fn named(work: &str, latency: u64) -> String {
    format!("{work}, {latency} ms")
}

fn known(run: &Run, work: &str, latency: u64, peer: &str) -> Option<f64> {
    match run.time(work, latency, peer)? {
        Time::Known(seconds) => Some(seconds),
        Time::Over(_) => None,
    }
}

/// At most so many times the floor's time.
fn over_floor(run: &Run, work: &str, latency: u64, most: f64) -> Goal {
    let ratio = known(run, work, latency, US).zip(known(run, work, latency, FLOOR)).map(|(us, floor)| us / floor);
    Goal {
        work: named(work, latency),
        goal: format!("within {most} × the floor"),
        figure: ratio.map_or_else(|| "–".into(), |ratio| format!("{ratio:.3} ×")),
        met: ratio.map(|ratio| ratio <= most),
    }
}

/// At least that part of the floor's speed.
fn of_floor(run: &Run, work: &str, latency: u64, least: f64) -> Goal {
    let ratio = known(run, work, latency, US).zip(known(run, work, latency, FLOOR)).map(|(us, floor)| floor / us);
    Goal {
        work: named(work, latency),
        goal: format!("{least} of the floor's speed"),
        figure: ratio.map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}")),
        met: ratio.map(|ratio| ratio >= least),
    }
}

/// So many times as fast as the fastest of these peers. A peer that was stopped counts with the time it was let, which decides nothing
/// where that is too little.
fn faster(run: &Run, work: &str, latency: u64, least: f64, peers: &[&str]) -> Goal {
    let us = known(run, work, latency, US);
    let best = peers.iter().filter_map(|peer| Some((*peer, run.time(work, latency, peer)?)));
    let best = best.min_by(|one, other| one.1.seconds().total_cmp(&other.1.seconds()));
    let mut goal = compare(us, best, least);
    goal.work = named(work, latency);
    if !peers.contains(&"pyfirecrest")
        && let Some((us, bare)) = us.zip(known(run, work, latency, "pyfirecrest"))
    {
        goal.figure += &format!("; {:.1} × as fast as pyfirecrest alone", bare / us);
    }
    goal
}

/// The same between two rows: ours in the one, aiida-firecrest's in the other.
fn across(run: &Run, ours: &str, theirs: &str, latency: u64, least: f64) -> Goal {
    let aiida = run.time(theirs, latency, "aiida-firecrest").map(|time| ("aiida-firecrest", time));
    let mut goal = compare(known(run, ours, latency, US), aiida, least);
    goal.work = named(theirs, latency);
    goal
}

fn compare(us: Option<f64>, best: Option<(&str, Time)>, least: f64) -> Goal {
    let goal = format!("{least} × as fast");
    let Some((us, (peer, time))) = us.zip(best) else {
        return Goal { work: String::new(), goal, figure: "–".into(), met: None };
    };
    let ratio = time.seconds() / us;
    let (sign, met) = match time {
        Time::Known(_) => ("", Some(ratio >= least)),
        // More than that: whether it is enough is known only when it is.
        Time::Over(_) => ("> ", (ratio >= least).then_some(true)),
    };
    Goal { work: String::new(), goal, figure: format!("{sign}{ratio:.1} × as fast as {peer}"), met }
}

fn fewer_requests(run: &Run, work: &str, latency: u64, least: f64) -> Goal {
    let requests = |peer: &str| {
        let cell = run.row(work, latency)?.peers.get(peer)?;
        (!cell.seconds.is_empty() || cell.capped.is_some()).then_some(cell.counts.requests as f64)
    };
    let pair = requests(US).zip(requests("aiida-firecrest"));
    let bare = requests(US).zip(requests("pyfirecrest"));
    let mut figure = pair
        .map_or_else(|| "–".into(), |(us, them)| format!("{us} requests, aiida-firecrest {them}: {:.1} ×", them / us));
    if let Some((_, them)) = bare {
        figure += &format!("; pyfirecrest alone {them}");
    }
    Goal {
        work: named(work, latency),
        goal: format!("{least} × fewer requests"),
        figure,
        met: pair.map(|(us, them)| them / us >= least),
    }
}

fn below(seconds: Option<f64>, work: &str, most: f64) -> Goal {
    Goal {
        work: work.into(),
        goal: format!("under {:.0} ms", most * 1e3),
        figure: seconds.map_or_else(|| "–".into(), |seconds| format!("{:.1} ms", seconds * 1e3)),
        met: seconds.map(|seconds| seconds < most),
    }
}

fn size(run: &Run) -> Goal {
    const MOST: u64 = 1 << 20;
    let known = (run.component > 0).then_some(run.component);
    Goal {
        work: "the component".into(),
        goal: "under 1 MiB".into(),
        figure: known.map_or_else(|| "–".into(), |bytes| format!("{bytes} bytes")),
        met: known.map(|bytes| bytes < MOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Cell, Row};

    fn run(work: &str, latency_ms: u64, cells: &[(&str, f64, Option<f64>)]) -> Run {
        let peers = cells.iter().map(|(peer, seconds, capped)| {
            let seconds = if capped.is_some() { vec![] } else { vec![*seconds] };
            ((*peer).to_owned(), Cell { seconds, capped: *capped, ..Cell::default() })
        });
        Run { rows: vec![Row { work: work.into(), latency_ms, peers: peers.collect() }], ..Run::default() }
    }

    #[test]
    fn a_goal_is_met_on_its_edge_and_missed_beyond() {
        let at = |us| over_floor(&run("stat", 0, &[("us-rust", us, None), ("floor", 1.0, None)]), "stat", 0, 1.1).met;
        assert_eq!((at(1.1), at(1.11)), (Some(true), Some(false)));
        let at = |us| of_floor(&run("get", 0, &[("us-rust", us, None), ("floor", 0.9, None)]), "get", 0, 0.9).met;
        assert_eq!((at(1.0), at(1.01)), (Some(true), Some(false)));
    }

    #[test]
    fn a_stopped_peer_decides_only_what_its_time_allows() {
        let stopped = run("jobs", 20, &[("us-rust", 0.1, None), ("aiida-firecrest", 0.0, Some(12.0))]);
        assert_eq!(faster(&stopped, "jobs", 20, 50.0, &["aiida-firecrest"]).met, Some(true));
        assert_eq!(faster(&stopped, "jobs", 20, 200.0, &["aiida-firecrest"]).met, None);
    }

    #[test]
    fn the_best_peer_counts() {
        let three =
            run("put", 20, &[("us-rust", 0.1, None), ("aiida-firecrest", 9.0, None), ("pyfirecrest", 1.0, None)]);
        let goal = faster(&three, "put", 20, 20.0, &OTHERS);
        assert_eq!((goal.met, goal.figure.as_str()), (Some(false), "10.0 × as fast as pyfirecrest"));
    }

    #[test]
    fn what_was_not_run_is_neither_met_nor_missed() {
        assert!(all(&Run::default()).iter().all(|goal| goal.met.is_none()));
    }
}
