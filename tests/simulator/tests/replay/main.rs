//! Replays the recorded exchanges against the simulator, over real sockets: the same status, the same message, the same body
//! shape (keys and types). What was recorded is written down here again as tables of cases.

mod client;
mod connections;
mod faults;
mod files;
mod jobs;
mod program;
mod s3;
mod server;
mod transfer;

use firecrest_simulator::{Builder, JobLag, Simulator};

/// A simulator that answers about jobs without lag.
fn quick() -> Builder {
    Simulator::builder().adjust(|knobs| {
        knobs.job_lag = JobLag::NONE;
        knobs.queue_wait = std::time::Duration::ZERO;
    })
}
