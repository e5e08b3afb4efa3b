//! The contract's records as JSON: the field names of `wit/` with underscores, its cases as they are written there.

use aiida_firecrest_host::configuration::{Identity, OptionDescription, OptionKind, ServerInfo, SystemInfo};
use aiida_firecrest_host::scheduler::{CancelOutcome, JobInfo, JobListing, JobState};
use aiida_firecrest_host::transport::{Entry, FileStat, TransferSummary, Verification};
use aiida_firecrest_host::types::FileKind;
use serde_json::{Value, json};

pub(crate) fn kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Regular => "regular",
        FileKind::Directory => "directory",
        FileKind::Symlink => "symlink",
        FileKind::BlockDevice => "block-device",
        FileKind::CharacterDevice => "character-device",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
        FileKind::Unknown => "unknown",
    }
}

pub(crate) fn state(state: JobState) -> &'static str {
    match state {
        JobState::Undetermined => "undetermined",
        JobState::Queued => "queued",
        JobState::QueuedHeld => "queued-held",
        JobState::Running => "running",
        JobState::Suspended => "suspended",
        JobState::Done => "done",
    }
}

pub(crate) fn verification(verification: Verification) -> &'static str {
    match verification {
        Verification::None => "none",
        Verification::Size => "size",
        Verification::Checksum => "checksum",
    }
}

pub(crate) fn option(option: &OptionDescription) -> Value {
    let kind = match option.kind {
        OptionKind::Text => "text",
        OptionKind::Secret => "secret",
        OptionKind::Integer => "integer",
        OptionKind::Number => "number",
        OptionKind::Flag => "flag",
    };
    json!({"name": option.name, "kind": kind, "prompt": option.prompt, "help": option.help, "default": option.default, "required": option.required})
}

pub(crate) fn identity(identity: &Identity) -> Value {
    json!({
        "name": identity.name, "uid": identity.uid, "group": identity.group, "gid": identity.gid, "groups": identity.groups,
        "accounts": identity.accounts, "default_account": identity.default_account,
    })
}

pub(crate) fn server(server: &ServerInfo) -> Value {
    let systems: Vec<Value> = server.systems.iter().map(system).collect();
    json!({"product": server.product, "version": server.version, "systems": systems, "user": identity(&server.user)})
}

fn system(system: &SystemInfo) -> Value {
    let services: Vec<Value> = system
        .services
        .iter()
        .map(|service| json!({"kind": service.kind, "path": service.path, "healthy": service.healthy, "message": service.message}))
        .collect();
    let file_systems: Vec<Value> = system
        .file_systems
        .iter()
        .map(|fs| json!({"path": fs.path, "kind": fs.kind, "default_work_directory": fs.default_work_directory}))
        .collect();
    json!({
        "name": system.name, "scheduler": system.scheduler, "scheduler_version": system.scheduler_version, "services": services,
        "file_systems": file_systems, "upload_limit": system.upload_limit, "download_limit": system.download_limit,
        "transfer_method": system.transfer_method, "part_size": system.part_size,
    })
}

pub(crate) fn stat(path: &str, stat: &FileStat) -> Value {
    json!({
        "path": path, "kind": kind(stat.kind), "mode": stat.mode, "size": stat.size, "inode": stat.inode, "device": stat.device,
        "links": stat.links, "uid": stat.uid, "gid": stat.gid, "accessed": stat.accessed, "modified": stat.modified, "changed": stat.changed,
    })
}

pub(crate) fn entry(entry: &Entry) -> Value {
    json!({
        "path": entry.path, "raw_path": entry.raw_path, "kind": kind(entry.kind), "size": entry.size, "permissions": entry.permissions,
        "owner": entry.owner, "group": entry.group, "modified": entry.modified, "link_target": entry.link_target,
    })
}

/// Sets `name` to the text; bytes that are no UTF-8 are `name_base64`.
pub(crate) fn content(document: &mut Value, name: &str, bytes: Vec<u8>) {
    match String::from_utf8(bytes) {
        Ok(text) => document[name] = json!(text),
        Err(error) => document[format!("{name}_base64")] = json!(base64(error.as_bytes())),
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| bits << 8 | usize::from(group.get(i).copied().unwrap_or(0)));
        for digit in 0..4 {
            text.push(if digit <= group.len() { DIGITS[bits >> (18 - 6 * digit) & 63].into() } else { '=' });
        }
    }
    text
}

pub(crate) fn summary(summary: &TransferSummary) -> Value {
    json!({
        "files": summary.files, "directories": summary.directories, "bytes": summary.bytes, "skipped": summary.skipped,
        "verified": verification(summary.verified),
    })
}

pub(crate) fn listing(listing: &JobListing) -> Value {
    let jobs: Vec<Value> = listing.jobs.iter().map(job).collect();
    json!({"jobs": jobs, "missing": listing.missing})
}

fn job(job: &JobInfo) -> Value {
    let machines: Vec<Value> = job
        .allocated_machines
        .iter()
        .map(
            |machine| json!({"name": machine.name, "num_mpiprocs": machine.num_mpiprocs, "num_cpus": machine.num_cpus}),
        )
        .collect();
    // The server's own answer; text where it is none after all.
    let raw: Value = serde_json::from_str(&job.raw_data).unwrap_or_else(|_| json!(job.raw_data));
    json!({
        "job_id": job.job_id, "title": job.title, "exit_status": job.exit_status, "terminating_signal": job.terminating_signal,
        "annotation": job.annotation, "job_state": state(job.job_state), "raw_state": job.raw_state, "allocated_machines": machines,
        "allocated_machines_raw": job.allocated_machines_raw, "job_owner": job.job_owner, "num_mpiprocs": job.num_mpiprocs,
        "num_cpus": job.num_cpus, "num_machines": job.num_machines, "queue_name": job.queue_name, "account": job.account, "qos": job.qos,
        "wallclock_time_seconds": job.wallclock_time_seconds, "requested_wallclock_time_seconds": job.requested_wallclock_time_seconds,
        "cpu_time": job.cpu_time, "submission_time": job.submission_time, "dispatch_time": job.dispatch_time,
        "finish_time": job.finish_time, "working_directory": job.working_directory, "raw_data": raw,
    })
}

pub(crate) fn outcome(id: &str, outcome: &CancelOutcome) -> Value {
    let (name, message) = match outcome {
        CancelOutcome::Cancelled => ("cancelled", None),
        CancelOutcome::AlreadyFinished => ("already-finished", None),
        CancelOutcome::NotFound => ("not-found", None),
        CancelOutcome::Failed(error) => ("failed", Some(format!("{}: {}", error.kind.name(), error.message))),
    };
    json!({"job_id": id, "outcome": name, "message": message})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        let mut document = json!({});
        content(&mut document, "a", b"x".to_vec());
        content(&mut document, "b", vec![0xff, 0xfe]);
        assert_eq!(document, json!({"a": "x", "b_base64": "//4="}));
    }
}
