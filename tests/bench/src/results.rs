//! What a run found, as it is written to JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::server::Counts;
use crate::stats;

/// A whole run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) machine: String,
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) quick: bool,
    /// Seconds that the run took.
    pub(crate) took: f64,
    pub(crate) versions: Vec<(String, String)>,
    pub(crate) rows: Vec<Row>,
    /// Seconds of an import over AiiDA's own, by package.
    #[serde(default)]
    pub(crate) imports: BTreeMap<String, Vec<f64>>,
    /// The component's size in bytes.
    #[serde(default)]
    pub(crate) component: u64,
    /// Seconds until the plugin is ready, its code in the cache.
    #[serde(default)]
    pub(crate) ready: Vec<f64>,
}

/// One work at one latency.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) latency_ms: u64,
    /// By peer; one that does not take part is not there.
    pub(crate) peers: BTreeMap<String, Cell>,
}

/// One peer's rounds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// Seconds, of each round that was done and right.
    pub(crate) seconds: Vec<f64>,
    /// What the last round asked of the server.
    pub(crate) counts: Counts,
    /// Why it has no seconds.
    #[serde(default)]
    pub(crate) error: Option<String>,
    /// It was ended after so many seconds.
    #[serde(default)]
    pub(crate) capped: Option<f64>,
}

/// How long something took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Time {
    /// The median.
    Known(f64),
    /// Longer than that.
    Over(f64),
}

impl Time {
    pub(crate) fn seconds(self) -> f64 {
        match self {
            Self::Known(seconds) | Self::Over(seconds) => seconds,
        }
    }
}

impl Cell {
    pub(crate) fn time(&self) -> Option<Time> {
        match (stats::median(&self.seconds), self.capped) {
            (_, Some(cap)) => Some(Time::Over(cap)),
            (Some(median), None) => Some(Time::Known(median)),
            (None, None) => None,
        }
    }
}

impl Run {
    pub(crate) fn row(&self, work: &str, latency_ms: u64) -> Option<&Row> {
        self.rows.iter().find(|row| row.work == work && row.latency_ms == latency_ms)
    }

    pub(crate) fn time(&self, work: &str, latency_ms: u64, peer: &str) -> Option<Time> {
        self.row(work, latency_ms)?.peers.get(peer)?.time()
    }
}
