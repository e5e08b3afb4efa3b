//! Submission: what the server makes of the request, and `sbatch` of that.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::errors::ApiError;
use crate::jobs::sbatch::{self, Options};
use crate::jobs::scheduler::NewJob;
use crate::request::{Check, Request};
use crate::router::Answer;
use crate::state::Ctx;
use crate::status::CPUS_PER_NODE;

/// The longest that a job may run where it says nothing: the partition's limit, in minutes.
const PARTITION_LIMIT: u64 = 5 * 24 * 60;

/// What the server hands to sbatch.
#[derive(Debug, Default)]
pub(crate) struct Description {
    pub(crate) name: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) partition: Option<String>,
    pub(crate) reservation: Option<String>,
    pub(crate) working_directory: String,
    pub(crate) input: Option<String>,
    pub(crate) output: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) script: Option<String>,
    pub(crate) script_path: Option<String>,
}

pub(super) async fn post(ctx: &Ctx, request: &Request, user: &str) -> Result<Answer, ApiError> {
    let mut check = request.check();
    let description = read(&mut check);
    check.done()?;
    let description = description?;
    ctx.need_key(user)?;
    super::command_cost(ctx).await;
    let id = submit(ctx, description).await?;
    Ok(Answer::json(201, &json!({ "jobId": id.to_string() })))
}

fn read(check: &mut Check<'_>) -> Result<Description, ApiError> {
    let body = check.object();
    let at = ["body", "job"];
    let job: Map<String, Value> = match body.get("job") {
        Some(Value::Object(job)) => job.clone(),
        Some(other) => {
            check.error(
                "model_attributes_type",
                &at,
                "Input should be a valid dictionary or object to extract fields from",
                other.clone(),
            );
            return Ok(Description::default());
        }
        None => {
            check.error("missing", &at, "Field required", Value::Object(body));
            return Ok(Description::default());
        }
    };
    let mut optional = |names: &[&str], nullable: bool| check.body_text(&job, &at, names, false, nullable);
    let mut description = Description {
        name: optional(&["name"], true),
        account: optional(&["account"], true),
        reservation: optional(&["reservation"], true),
        partition: optional(&["partition"], true),
        input: optional(&["standardInput", "standard_input"], true),
        output: optional(&["standardOutput", "standard_output"], true),
        error: optional(&["standardError", "standard_error"], true),
        script: optional(&["script"], false),
        script_path: optional(&["scriptPath", "script_path"], false),
        ..Description::default()
    };
    optional(&["constraints"], true);
    description.working_directory = check
        .body_text(&job, &at, &["workingDirectory", "working_directory", "current_working_directory"], true, false)
        .unwrap_or_default();
    match job.get("env").or_else(|| job.get("environment")) {
        None => description.environment = vec![("F7T_version".into(), "v2.0.0".into())],
        Some(Value::Object(map)) => {
            for (name, value) in map {
                match value {
                    Value::String(text) => {
                        description.environment.push((name.clone(), text.clone()));
                    }
                    other => check.error(
                        "string_type",
                        &["body", "job", "env", "dict[str,str]", name],
                        "Input should be a valid string",
                        other.clone(),
                    ),
                }
            }
            description.environment = exported(&description.environment);
        }
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            // The server accepts a list and then trips over it.
            return Err(ApiError::unhandled("(\"'list' object has no attribute 'items'\",)"));
        }
        Some(other) => check.error(
            "dict_type",
            &["body", "job", "env", "dict[str,str]"],
            "Input should be a valid dictionary",
            other.clone(),
        ),
    }
    Ok(description)
}

/// What is left of variables on their way through `sbatch --export=ALL,A=1,B=2`, as the server writes it: sbatch cuts at commas that lie
/// in no quotes (`find_quote_token`, Slurm 22.05).
fn exported(variables: &[(String, String)]) -> Vec<(String, String)> {
    let joined = variables.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",");
    let (mut single, mut double) = (false, false);
    let tokens = joined.split(|c| {
        single ^= c == '\'';
        double ^= c == '"';
        c == ',' && !single && !double
    });
    tokens.filter_map(|token| token.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Runs `sbatch`, so to say. The job's id.
pub(crate) async fn submit(ctx: &Ctx, description: Description) -> Result<u64, ApiError> {
    let state = &ctx.state;
    let refuse = |stderr: String| ApiError::slurm(1, &stderr);
    let (script, default_name) = match description.script_path.as_deref().filter(|path| !path.is_empty()) {
        Some(path) => {
            let text = read_script(ctx, path)
                .await
                .ok_or_else(|| refuse(format!("sbatch: error: Unable to open file {path}\n")))?;
            let name =
                Path::new(path).file_name().map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned());
            (text, name)
        }
        None => match description.script.as_deref().filter(|text| !text.is_empty()) {
            Some(script) => (script.to_owned(), "sbatch".to_owned()),
            None => {
                // sbatch waits for a script on its stdin, which nobody ends.
                tokio::time::sleep(ctx.limits.time).await;
                return Err(ApiError::timeout());
            }
        },
    };
    let mut options = sbatch::read_script(script.as_bytes()).map_err(refuse)?;
    override_with(&mut options, &description);

    let knobs = state.knobs();
    let partition = match options.partition.as_deref() {
        None => knobs.partitions.first().cloned().unwrap_or_default(),
        // Several may be named: the first that exists is as good as any.
        Some(names) => names
            .split(',')
            .find(|name| knobs.partitions.iter().any(|known| known == name))
            .map(str::to_owned)
            .ok_or_else(|| {
                refuse(format!(
                    "sbatch: error: invalid partition specified: {names}\nsbatch: error: Batch job submission failed: Invalid partition name specified\n"
                ))
            })?,
    };
    let account = match options.account.clone() {
        None => knobs.accounts.first().cloned().unwrap_or_default(),
        Some(account) if knobs.accounts.contains(&account) => account,
        Some(_) => {
            return Err(refuse(
                "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified\n".into(),
            ));
        }
    };
    if description.reservation.as_deref().is_some_and(|name| !name.is_empty()) {
        return Err(refuse("sbatch: error: Batch job submission failed: Requested reservation is invalid\n".into()));
    }
    let work_dir = options.chdir.clone().unwrap_or_else(|| state.user.home.clone());
    let work_dir = absolute(&state.user.home, &work_dir);
    let nodes = options.node_count(CPUS_PER_NODE);
    let minutes = match options.time {
        None => Some(PARTITION_LIMIT),
        Some(limit) => limit.or(Some(PARTITION_LIMIT)),
    };
    Ok(state.scheduler.submit(NewJob {
        name: options.job_name.clone().unwrap_or(default_name),
        account,
        partition,
        nodes,
        tasks: options.ntasks.unwrap_or(nodes),
        work_dir,
        input: options.input.unwrap_or_else(|| "/dev/null".into()),
        output: options.output.unwrap_or_else(|| "slurm-%j.out".into()),
        error: options.error,
        append: options.append,
        hold: options.hold,
        limit: minutes,
        minute: if knobs.minute.is_zero() { Duration::from_secs(60) } else { knobs.minute },
        script,
        environment: description.environment,
    }))
}

/// The command line wins over the script.
fn override_with(options: &mut Options, description: &Description) {
    let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let set = |target: &mut Option<String>, value: &Option<String>| {
        if let Some(value) = given(value) {
            *target = Some(value);
        }
    };
    set(&mut options.job_name, &description.name);
    set(&mut options.account, &description.account);
    set(&mut options.partition, &description.partition);
    set(&mut options.input, &description.input);
    set(&mut options.output, &description.output);
    set(&mut options.error, &description.error);
    options.chdir = Some(description.working_directory.clone());
}

/// Reads a script as the user, inside the file systems.
async fn read_script(ctx: &Ctx, path: &str) -> Option<String> {
    ctx.state.file_systems.confine("sbatch", path, &ctx.state.user.home, true).ok()?;
    let output = ctx.run("cat", ["--", path]).await.ok()?;
    (output.status == 0).then(|| output.text())
}

/// A path against a folder.
pub(crate) fn absolute(folder: &str, path: &str) -> String {
    if path.is_empty() {
        return folder.to_owned();
    }
    let joined: PathBuf = Path::new(folder).join(path);
    joined.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::exported;

    fn pairs(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// As seen with Slurm 22.05.8 behind FirecREST 2.5.7.
    #[test]
    fn a_quote_without_a_second_one_swallows_what_follows() {
        for kept in
            [&[("A", "1"), ("B", "'x'"), ("C", "say \"x\"")][..], &[("A", "1"), ("B", "$HOME \\ `id` a=b"), ("C", "")]]
        {
            assert_eq!(exported(&pairs(kept)), pairs(kept));
        }
        assert_eq!(exported(&pairs(&[("A", "1"), ("B", "it's"), ("C", "3")])), pairs(&[("A", "1"), ("B", "it's,C=3")]));
    }
}
