//! What the server says of itself and its systems: `/status/*`.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::errors::ApiError;
use crate::knobs::{Knobs, Service, System};
use crate::router::Answer;
use crate::routes::Endpoint;
use crate::state::{Ctx, State};

/// How often the real server looks at its services.
const PROBE_INTERVAL: u64 = 120;

/// When the services were last looked at.
fn last_check(state: &State) -> SystemTime {
    let up = state.started.elapsed().unwrap_or_default().as_secs();
    state.started + Duration::from_secs(up - up % PROBE_INTERVAL)
}

pub(crate) fn liveness(state: &State) -> Answer {
    let checked = last_check(state);
    let runs: Map<String, Value> =
        state.knobs().systems.into_iter().map(|system| (system.name, timestamp(checked).into())).collect();
    let age = checked.elapsed().unwrap_or_default().as_secs();
    Answer::json(200, &json!({ "healthcheckRuns": runs, "lastUpdate": age }))
}

pub(crate) fn systems(state: &Arc<State>) -> Answer {
    let knobs = state.knobs();
    let systems: Vec<Value> = knobs.systems.iter().map(|one| system(state, &knobs, one)).collect();
    Answer::json(200, &json!({ "systems": systems }))
}

fn system(state: &State, knobs: &Knobs, system: &System) -> Value {
    let checked = timestamp(last_check(state));
    let health = |kind: &str, service: Service, latency: f64, message: Value| {
        let healthy = state.healthy(&service);
        let mut entry = json!({
            "serviceType": kind,
            "lastChecked": checked,
            "latency": latency,
            "healthy": healthy,
            "message": if healthy { message } else { "service does not answer".into() },
        });
        if let Service::FileSystem(path) = service {
            entry["path"] = path.into();
        }
        entry
    };
    let mut services = vec![
        health(
            "scheduler",
            Service::Scheduler,
            0.115,
            "[{'mode': 'primary', 'hostname': 'simulator', 'pinged': 'UP'}]".into(),
        ),
        health("ssh", Service::Ssh, 0.106, Value::Null),
    ];
    services.extend(
        state
            .file_systems
            .all()
            .iter()
            .map(|path| health("filesystem", Service::FileSystem(path.clone()), 0.114, Value::Null)),
    );
    services.push(health("s3", Service::S3, 0.126, Value::Null));
    let file_systems: Vec<Value> = state
        .file_systems
        .all()
        .iter()
        .enumerate()
        .map(|(number, path)| {
            json!({
                "path": path,
                "dataType": if number == 0 { "users" } else { "scratch" },
                "defaultWorkDir": number == 0,
            })
        })
        .collect();
    json!({
        "name": system.name,
        "ssh": {
            "host": "127.0.0.1",
            "port": 22,
            "proxyHost": null,
            "proxyPort": null,
            "maxClients": 500,
            "timeout": {
                "connection": 5,
                "login": 5,
                "commandExecution": knobs.command_time_limit.as_secs().max(1),
                "idleTimeout": 60,
                "keepAlive": 5,
            },
        },
        "scheduler": {
            "type": "slurm",
            "connectionMode": "ssh",
            "version": knobs.slurm_version,
            "apiUrl": null,
            "apiVersion": null,
            "timeout": 10,
        },
        "servicesHealth": services,
        "probing": {
            "services": {
                "ssh": { "timeout": 5 },
                "filesystem": { "timeout": 5 },
                "scheduler": { "timeout": 5 },
                "s3": { "timeout": 20 },
            },
            "intervalCheck": PROBE_INTERVAL,
        },
        "lastHealthCheck": checked,
        "fileSystems": file_systems,
        "dataOperation": {
            "datatransfer_jobs_directives": crate::transfer::directives(system),
            "max_ops_file_size": system.max_ops_file_size,
            "data_transfer": if !system.object_store { Value::Null } else { json!({
                "serviceType": "s3",
                "name": "s3-storage",
                "privateUrl": "**********",
                "publicUrl": state.objects.signer.endpoint(),
                "accessKeyId": "**********",
                "secretAccessKey": "**********",
                "region": "us-east-1",
                "ttl": 604_800,
                "tenant": null,
                "multipart": {
                    "use_split": false,
                    "max_part_size": system.max_part_size,
                    "parallel_runs": 3,
                    "tmp_folder": "tmp",
                },
                "bucketLifecycleConfiguration": { "days": 10 },
            }) },
        },
    })
}

pub(crate) async fn on_system(ctx: &Ctx, endpoint: Endpoint, user: &str) -> Result<Answer, ApiError> {
    let state = &ctx.state;
    let knobs = state.knobs();
    if endpoint == Endpoint::UserInfo {
        ctx.need_ssh()?;
    }
    if ctx.need_key(user).is_err() {
        // Errors in here come wrapped, with the exception's text alone.
        let text = format!("No SSH credentials found for user:{user}");
        return Err(ApiError::new(500, text));
    }
    let cpus = CPUS_PER_NODE * knobs.nodes;
    match endpoint {
        Endpoint::UserInfo => {
            let group = json!({ "id": state.user.gid.to_string(), "name": state.user.group });
            let accounts: Vec<Value> = knobs
                .accounts
                .iter()
                .enumerate()
                .rev()
                .map(|(number, name)| json!({ "name": name, "default": number == 0 }))
                .collect();
            let accounts = if accounts.is_empty() { Value::Null } else { accounts.into() };
            Ok(Answer::json(
                200,
                &json!({
                    "user": { "id": state.user.uid.to_string(), "name": state.user.name },
                    "group": group,
                    "groups": [group],
                    "accounts": accounts,
                }),
            ))
        }
        Endpoint::Partitions => {
            let partitions: Vec<Value> = knobs
                .partitions
                .iter()
                .map(|name| {
                    json!({
                        "name": name,
                        "cpus": cpus,
                        "totalNodes": knobs.nodes,
                        "partition": "UP",
                    })
                })
                .collect();
            Ok(Answer::json(200, &json!({ "partitions": partitions })))
        }
        Endpoint::Nodes => {
            let busy = state.scheduler.busy_nodes();
            let nodes: Vec<Value> = crate::jobs::names::node_names(knobs.nodes)
                .into_iter()
                .map(|name| {
                    let allocated = if busy.contains(&name) { CPUS_PER_NODE } else { 0 };
                    json!({
                        "sockets": CPUS_PER_NODE,
                        "cores": CPUS_PER_NODE,
                        "threads": CPUS_PER_NODE,
                        "cpus": CPUS_PER_NODE,
                        "cpuLoad": if allocated > 0 { 1.0 } else { 0.0 },
                        "freeMemory": 20_897,
                        "features": "f7t",
                        "address": "127.0.0.1",
                        "hostname": name,
                        "name": name,
                        "state": [if allocated > 0 { "ALLOCATED" } else { "IDLE" }],
                        "partitions": knobs.partitions,
                        "weight": 1,
                        "allocMemory": 16_000,
                        "allocCpus": allocated,
                        "idleCpus": CPUS_PER_NODE - allocated,
                    })
                })
                .collect();
            if nodes.is_empty() {
                return Err(ApiError::new(500, "404: No nodes found"));
            }
            Ok(Answer::json(200, &json!({ "nodes": nodes })))
        }
        Endpoint::Reservations => Ok(Answer::json(200, &json!({ "reservations": [] }))),
        _ => Err(ApiError::new(404, "Not Found")),
    }
}

/// Every node has so many.
pub(crate) const CPUS_PER_NODE: u32 = 16;

/// A moment as the server writes it, with microseconds, in UTC.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let date = Date::of(since.as_secs());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        date.year,
        date.month,
        date.day,
        date.hour,
        date.minute,
        date.second,
        since.subsec_micros()
    )
}

/// A moment as HTTP headers have it.
pub(crate) fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let date = Date::of(seconds);
    let weekday = usize::try_from(seconds / 86_400 % 7).unwrap_or(0);
    let month = usize::try_from(date.month - 1).unwrap_or(0);
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        DAYS[weekday], date.day, MONTHS[month], date.year, date.hour, date.minute, date.second
    )
}

struct Date {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Date {
    /// The Gregorian calendar's date of a Unix time.
    fn of(seconds: u64) -> Self {
        // Count days from 1 March of the year 0, so that leap days come last.
        let days = seconds / 86_400 + 719_468;
        let era = days / 146_097;
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: of_year - (153 * shifted + 2) / 5 + 1,
            hour: seconds / 3_600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }
}

/// A Unix time as Slurm writes it in its messages.
pub(crate) fn slurm_date(time: SystemTime) -> String {
    timestamp(time).chars().take(19).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        let time = UNIX_EPOCH + Duration::from_micros(1_795_503_096_993_283);
        assert_eq!(timestamp(time), "2026-11-24T06:51:36.993283Z");
        assert_eq!(http_date(time), "Tue, 24 Nov 2026 06:51:36 GMT");
        assert_eq!(slurm_date(UNIX_EPOCH + Duration::from_secs(951_782_400)), "2000-02-29T00:00:00");
    }
}
