//! The table of `src/http/retry.rs`, row by row over the wire: what a read, an idempotent write and another write do after each outcome.

use std::fs;

use aiida_firecrest_host::transport::TransferOptions;
use aiida_firecrest_host::types::ErrorKind as Kind;
use aiida_firecrest_tests::{Rig, failure, noise};
use firecrest_simulator::{Fault, FaultKind, S3Fault, S3FaultKind};

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
    /// A look, which does not tell whether it was there before: `outcome-unknown`.
    Doubt,
    /// This error.
    Stop(Kind),
}
use Then::{Again, Doubt, Look, Stop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outcome_leads_where_the_table_says() {
    let slurm = |text: &str| refusal(500, &format!("Unexpected Slurm command response. exit_status:1 std_err:{text}"));
    let killed = "Command execution timeout limit exceeded.";
    let rows: Vec<(FaultKind, [Then; 3])> = vec![
        (FaultKind::DropBefore, [Again, Again, Look]),
        (FaultKind::Reset, [Again, Again, Look]),
        (FaultKind::DropAfter, [Again, Again, Doubt]),
        (FaultKind::Cut(3), [Again, Again, Doubt]),
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
                Doubt => {
                    assert_eq!((failure(result).kind, requests), (Kind::OutcomeUnknown, vec![call, STAT]), "{fault:?}")
                }
                Stop(kind) => {
                    assert_eq!((failure(result).kind, requests), (kind, vec![call]), "{fault:?}");
                }
            }
        }
    }
}

/// Parts start from their own first byte; a completed upload whose answer was lost is complete.
#[tokio::test]
async fn the_object_store_is_asked_again() {
    let mut rig = Rig::setup().option("compute_resource", "cluster-account").open().await;
    let content = noise(20 << 20);
    let (local, remote, back) = (rig.local_file("large", &content, 0o644), rig.remote("large"), rig.local("back"));
    let down = S3FaultKind::Answer { status: 503, body: "<Error><Code>SlowDown</Code></Error>".into() };
    let halfway = "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>".to_owned();
    for fault in [
        S3Fault::once("PUT", S3FaultKind::DropBefore),
        S3Fault::once("PUT", S3FaultKind::DropAfter),
        S3Fault::once("PUT", down.clone()),
        S3Fault::once("POST", S3FaultKind::Answer { status: 200, body: halfway }),
        S3Fault::once("POST", S3FaultKind::DropAfter),
        S3Fault::once("GET", down),
        S3Fault::once("GET", S3FaultKind::DropBefore),
        S3Fault::once("GET", S3FaultKind::CutAfter(100_000)),
    ] {
        rig.simulator.plant_s3(fault);
    }
    let checked = TransferOptions { verify: Some(true), ..TransferOptions::default() };
    rig.session.put(&local, &remote, &checked).await.unwrap();
    assert!(fs::read(&remote).unwrap() == content);
    rig.session.get(&remote, &back, &checked).await.unwrap();
    assert!(fs::read(&back).unwrap() == content);
    let told = rig.session.telemetry().counters();
    assert!(told.repeats >= 5, "{told:?}");
}
