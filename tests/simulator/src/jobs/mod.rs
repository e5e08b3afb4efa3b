//! Jobs: `/compute/{system}/jobs*`.

pub(crate) mod answers;
mod life;
pub(crate) mod names;
pub(crate) mod process;
pub(crate) mod sbatch;
pub(crate) mod scheduler;
pub(crate) mod submit;
pub(crate) mod time;

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::commands;
use crate::errors::{ApiError, FieldError};
use crate::faults::FaultKind;
use crate::jobs::answers::{Metadata, View};
use crate::jobs::scheduler::Cancelled;
use crate::request::Request;
use crate::router::Answer;
use crate::routes::Endpoint;
use crate::state::Ctx;

/// Answers one request about jobs.
pub(crate) async fn handle(
    ctx: &Ctx,
    endpoint: Endpoint,
    job_id: &str,
    request: &Request,
    user: &str,
) -> Result<Answer, ApiError> {
    ctx.need_scheduler()?;
    ctx.need_ssh()?;
    if !matches!(endpoint, Endpoint::Submit | Endpoint::Jobs) {
        check_id(request, job_id)?;
    }
    if request.fault == Some(FaultKind::JobsVanish) && matches!(endpoint, Endpoint::Jobs | Endpoint::Job) {
        ctx.need_key(user)?;
        query_cost(ctx).await;
        return match endpoint {
            Endpoint::Jobs => Ok(Answer::json(200, &Jobs { jobs: Vec::new() })),
            _ => Err(ApiError::new(404, "Job not found.")),
        };
    }
    match endpoint {
        Endpoint::Submit => {
            let answer = submit::post(ctx, request, user).await?;
            if request.fault == Some(FaultKind::JobFails) {
                fail(ctx, &answer);
            }
            Ok(answer)
        }
        Endpoint::Jobs => list(ctx, request, user).await,
        Endpoint::Job => {
            ctx.need_key(user)?;
            query_cost(ctx).await;
            let id = numeric(job_id).ok_or_else(|| {
                ApiError::slurm_query(1, &format!("sacct: fatal: Bad job/step specified: {job_id}\n"))
            })?;
            let knobs = ctx.state.knobs();
            ctx.state
                .scheduler
                .with_job(id, |job| answers::view(job, &knobs, &ctx.state.user))
                .flatten()
                .map(|view| Answer::json(200, &Jobs { jobs: vec![view] }))
                .ok_or_else(|| ApiError::new(404, "Job not found."))
        }
        Endpoint::Metadata => {
            ctx.need_key(user)?;
            numeric(job_id)
                .and_then(|id| ctx.state.scheduler.with_job(id, Metadata::of))
                .map(|metadata| Answer::json(200, &json!({ "jobs": [metadata] })))
                .ok_or_else(|| ApiError::new(404, "Job not found."))
        }
        Endpoint::Cancel => {
            ctx.need_key(user)?;
            command_cost(ctx).await;
            cancel(ctx, job_id)
        }
        Endpoint::Attach => attach(ctx, job_id, request, user).await,
        _ => Err(ApiError::new(404, "Not Found")),
    }
}

/// Makes the job that an answer tells of a failed one.
fn fail(ctx: &Ctx, answer: &Answer) {
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let id = &told["jobId"];
    if let Some(id) = id.as_u64().or_else(|| id.as_str()?.parse().ok()) {
        ctx.state.scheduler.cancel(id, ctx.state.user.uid);
        ctx.state.scheduler.set_state(id, Some("FAILED".into()));
    }
}

/// The answer to questions about jobs.
#[derive(serde::Serialize)]
struct Jobs {
    jobs: Vec<View>,
}

async fn query_cost(ctx: &Ctx) {
    let cost = crate::read(&ctx.state.knobs).job_query_cost;
    if !cost.is_zero() {
        tokio::time::sleep(cost).await;
    }
}

/// `sbatch` and `scancel` are commands over SSH, too.
async fn command_cost(ctx: &Ctx) {
    let cost = crate::read(&ctx.state.knobs).job_command_cost;
    if !cost.is_zero() {
        tokio::time::sleep(cost).await;
    }
}

/// A job id that Slurm understands.
fn numeric(job_id: &str) -> Option<u64> {
    job_id.parse().ok()
}

fn check_id(request: &Request, job_id: &str) -> Result<(), ApiError> {
    let mut check = request.check();
    if !job_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let pattern = "^[a-zA-Z0-9]+$";
        check.error_with(FieldError {
            kind: "string_pattern_mismatch",
            location: vec!["path".into(), "job_id".into()],
            message: format!("String should match pattern '{pattern}'"),
            input: job_id.into(),
            context: Some(("pattern", pattern.into())),
        });
    }
    check.done()
}

/// Whether the server knows the list's filters and its look-back window: since 2.5.7.
fn has_filters(version: &str) -> bool {
    let parts: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    // A development build has letters in its version, and the newest behaviour.
    parts.is_none_or(|parts| parts >= vec![2, 5, 7])
}

async fn list(ctx: &Ctx, request: &Request, user: &str) -> Result<Answer, ApiError> {
    let mut check = request.check();
    check.flag("allusers");
    let knobs = ctx.state.knobs();
    let filters = has_filters(&knobs.version);
    let mut window = Duration::from_secs(24 * 3600);
    let account = request.param("account");
    let name = request.param("name").filter(|_| filters);
    if let Some(name) = name.filter(|name| name.chars().count() > 235) {
        check.error_with(FieldError {
            kind: "string_too_long",
            location: vec!["query".into(), "name".into()],
            message: "String should have at most 235 characters".into(),
            input: name.into(),
            context: Some(("max_length", 235.into())),
        });
    }
    if let Some(text) = request.param("time_window").filter(|_| filters) {
        let hours = match text {
            "1h" => Some(1),
            "8h" => Some(8),
            "24h" => Some(24),
            "3d" => Some(72),
            "7d" => Some(168),
            _ => None,
        };
        match hours {
            Some(hours) => window = Duration::from_secs(hours * 3600),
            None => {
                let expected = "'1h', '8h', '24h', '3d' or '7d'";
                check.error_with(FieldError {
                    kind: "enum",
                    location: vec!["query".into(), "time_window".into()],
                    message: format!("Input should be {expected}"),
                    input: text.into(),
                    context: Some(("expected", expected.into())),
                });
            }
        }
    }
    check.done()?;
    ctx.need_key(user)?;
    query_cost(ctx).await;
    let since = SystemTime::now() - window;
    let one_of = |list: Option<&str>, value: &str| {
        list.filter(|list| !list.is_empty()).is_none_or(|list| list.split(',').any(|wanted| wanted == value))
    };
    let jobs: Vec<View> = ctx.state.scheduler.with_jobs(|jobs| {
        let mut queued = Vec::new();
        let mut known: Vec<View> = jobs
            .filter(|job| job.ended.is_none_or(|ended| ended >= since))
            .filter(|job| one_of(account, &job.account) && one_of(name, &job.name))
            .filter_map(|job| {
                let view = answers::listed(job, &knobs, &ctx.state.user, name.is_some())?;
                if job.started.is_none() && job.ended.is_none() {
                    // The queue's own come last: the accounting database is asked first.
                    queued.push(view);
                    return None;
                }
                Some(view)
            })
            .collect();
        known.append(&mut queued);
        known
    });
    Ok(Answer::json(200, &Jobs { jobs }))
}

fn cancel(ctx: &Ctx, job_id: &str) -> Result<Answer, ApiError> {
    let Some(id) = numeric(job_id) else {
        return Err(ApiError::slurm(1, &format!("scancel: error: Invalid job id {job_id}\n")));
    };
    let refuse = |text: &str| {
        Err(ApiError::slurm(
            0,
            &format!("scancel: Terminating job {id}\nscancel: error: Kill job error on job id {id}: {text}\n"),
        ))
    };
    match ctx.state.scheduler.cancel(id, ctx.state.user.uid) {
        Cancelled::Done => Ok(Answer::nothing()),
        Cancelled::Unknown => refuse("Invalid job id specified"),
        Cancelled::Finished => refuse("Job/step already completing or completed"),
    }
}

async fn attach(ctx: &Ctx, job_id: &str, request: &Request, user: &str) -> Result<Answer, ApiError> {
    let mut check = request.check();
    let body = check.object();
    let command = check.body_text(&body, &["body"], &["command"], false, false);
    check.done()?;
    ctx.need_key(user)?;
    // This is what attaching is: a command line of the user's, run as the user.
    let text = format!("srun --jobid='{job_id}' --overlap {}", command.unwrap_or_else(|| "None".into()));
    let output = commands::run(ctx.command("bash", ["-c", &text]), None, ctx.limits, false).await?;
    if output.status != 0 {
        return Err(ApiError::slurm(output.status, &output.stderr));
    }
    Ok(Answer::nothing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_came_with_2_5_7() {
        assert!(has_filters("2.5.7"));
        assert!(has_filters("2.6.0"));
        assert!(has_filters("2.x.x"));
        assert!(!has_filters("2.5.6"));
        assert!(!has_filters("2.2.8"));
    }
}
