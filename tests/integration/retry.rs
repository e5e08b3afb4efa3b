//! The table of `src/http/retry.rs`, row by row over the wire: what a read, an idempotent write and another write do after each outcome.

use aiida_firecrest_host::types::ErrorKind as Kind;
use aiida_firecrest_tests::{Rig, failure};
use firecrest_simulator::{Fault, FaultKind};

const STAT: &str = "GET filesystem/ops/stat";
const CHMOD: &str = "PUT filesystem/ops/chmod";
const MKDIR: &str = "POST filesystem/ops/mkdir";

fn refusal(status: u16, message: &str) -> FaultKind {
    let body = serde_json::json!({"errorType": "error", "message": message}).to_string();
    FaultKind::Answer { status, body, headers: Vec::new() }
}

fn page(status: u16) -> FaultKind {
    FaultKind::Answer { status, body: "<html>nginx</html>".into(), headers: Vec::new() }
}

/// What one lost or refused try leads to.
enum Then {
    /// The same request again.
    Again,
    /// A look, which does not find it, and then the same request again.
    Look,
    /// This error.
    Stop(Kind),
}
use Then::{Again, Look, Stop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outcome_leads_where_the_table_says() {
    let slurm = |text: &str| refusal(500, &format!("Unexpected Slurm command response. exit_status:1 std_err:{text}"));
    let killed = "Command execution timeout limit exceeded.";
    let rows: Vec<(FaultKind, [Then; 3])> = vec![
        (FaultKind::DropBefore, [Again, Again, Look]),
        (page(401), [Again, Again, Again]),
        (refusal(408, killed), [Stop(Kind::Timeout), Look, Look]),
        (page(408), [Stop(Kind::Timeout), Look, Look]),
        (refusal(408, "SSH connection timeout limit exceeded."), [Again, Again, Again]),
        (refusal(424, "Unable to establish SSH connection."), [Again, Again, Look]),
        (refusal(424, "Unable to open a new SSH channel."), [Again, Again, Again]),
        (page(429), [Again, Again, Again]),
        (refusal(500, "unforeseen"), [Stop(Kind::Other), Stop(Kind::Other), Stop(Kind::Other)]),
        (slurm("Unable to contact slurm controller (connect failure)"), [Again, Again, Again]),
        (slurm("Socket timed out on send/recv operation"), [Again, Again, Look]),
        (page(502), [Again, Again, Look]),
        (page(503), [Again, Again, Look]),
        (refusal(503, "The ssh service for the requested system (x) is unhealthy."), [Again, Again, Again]),
        (page(504), [Again, Look, Look]),
    ];
    let mut rig = Rig::open().await;
    let file = rig.place("f", b"1");
    for (number, (fault, then)) in rows.into_iter().enumerate() {
        for (call, then) in [STAT, CHMOD, MKDIR].into_iter().zip(then) {
            let end = call.rsplit(' ').next().unwrap().trim_start_matches("filesystem");
            rig.simulator.plant(Fault::once(end, fault.clone()));
            let directory = rig.remote(&format!("d{number}"));
            // A mode of its own for each row, so that the look does not find that of an earlier one.
            let mode = 0o600 + u32::try_from(number).unwrap();
            let (result, requests) = rig
                .count(async |session| match call {
                    STAT => session.stat(&file).await.map(drop),
                    CHMOD => session.chmod(&file, mode).await,
                    _ => session.mkdir(&directory, false, false).await,
                })
                .await;
            let requests: Vec<&str> =
                requests.iter().map(String::as_str).filter(|asked| *asked != "POST token").collect();
            match then {
                Again => assert_eq!((result.is_ok(), requests), (true, vec![call, call]), "{fault:?}"),
                Look => assert_eq!((result.is_ok(), requests), (true, vec![call, STAT, call]), "{fault:?}"),
                Stop(kind) => {
                    assert_eq!((failure(result).kind, requests), (kind, vec![call]), "{fault:?}");
                }
            }
        }
    }
}
