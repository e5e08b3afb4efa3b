//! `/filesystem/{system}/transfer/*`: operations that the scheduler runs as jobs.
//!
//! | file | holds |
//! |---|---|
//! | here | mv, cp, rm, compress, extract; what all transfer jobs share |
//! | `s3.rs` | upload and download through the object store |
//! | `scripts.rs` | the scripts of their jobs |
//! | `shell.rs` | what a job's shell makes of a path |

mod s3;
mod scripts;
mod shell;

use serde_json::json;

use crate::errors::ApiError;
use crate::files::{Compression, PATH, TARGET, compression};
use crate::jobs::submit::{Description, submit};
use crate::knobs::System;
use crate::paths::split;
use crate::request::Request;
use crate::router::Answer;
use crate::routes::Endpoint;
use crate::state::Ctx;

/// The lines that every transfer job's script has; `{account}` is filled in.
pub(crate) fn directives(system: &System) -> Vec<&'static str> {
    let mut lines = vec!["#SBATCH --nodes=1", "#SBATCH --time=0-00:15:00"];
    if system.account_required {
        lines.push("#SBATCH --account={account}");
    }
    lines
}

/// Answers one request.
pub(crate) async fn handle(ctx: &Ctx, endpoint: Endpoint, request: &Request, user: &str) -> Result<Answer, ApiError> {
    ctx.need_scheduler()?;
    ctx.need_ssh()?;
    if matches!(endpoint, Endpoint::TransferUpload | Endpoint::TransferDownload) {
        return s3::handle(ctx, endpoint, request, user).await;
    }
    ctx.need_file_system(request, endpoint.takes_json())?;
    let work = Work::read(endpoint, request)?;
    let directives = fill_in(&ctx.system, work.account.as_deref())?;
    work.confine(ctx)?;
    ctx.need_key(user)?;
    let status = if endpoint == Endpoint::TransferRm { 200 } else { 201 };
    let job = start(ctx, work.name(), work.script(&directives)).await?;
    Ok(Answer::json(status, &json!({ "transferJob": job })))
}

/// The directives with the account, which must be given where it is asked for.
fn fill_in(system: &System, account: Option<&str>) -> Result<String, ApiError> {
    let text = directives(system).join("\n");
    if !text.contains("{account}") {
        return Ok(text);
    }
    let account = account.ok_or_else(|| ApiError::new(400, "Account parameter is required on this system."))?;
    // The server writes whatever it is given into the script; here it has to look like an account.
    if account.is_empty() || !account.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) {
        return Err(ApiError::slurm(
            1,
            "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified\n",
        ));
    }
    Ok(text.replace("{account}", account))
}

/// Submits a transfer job. What the answer says of it.
async fn start(ctx: &Ctx, name: &str, script: String) -> Result<serde_json::Value, ApiError> {
    let home = &ctx.state.user.home;
    let unique = uuid::Uuid::new_v4();
    let output = format!("{home}/.f7t_file_handling_job_{unique}.log");
    let error = format!("{home}/.f7t_file_handling_job_error_{unique}.log");
    let id = submit(
        ctx,
        Description {
            name: Some(name.to_owned()),
            working_directory: home.clone(),
            input: Some("/dev/null".into()),
            output: Some(output.clone()),
            error: Some(error.clone()),
            environment: vec![("PATH".into(), "/bin:/usr/bin/:/usr/local/bin/".into())],
            script: Some(script),
            ..Description::default()
        },
    )
    .await?;
    Ok(json!({
        "jobId": id.to_string(),
        "system": ctx.system.name,
        "workingDirectory": home,
        "logs": { "outputLog": output, "errorLog": error },
    }))
}

/// What a transfer job is to do.
struct Work {
    endpoint: Endpoint,
    source: String,
    target: String,
    account: Option<String>,
    dereference: bool,
    pattern: Option<String>,
    compression: Compression,
}

impl Work {
    fn read(endpoint: Endpoint, request: &Request) -> Result<Self, ApiError> {
        let mut check = request.check();
        if endpoint == Endpoint::TransferRm {
            let source = check.text("path");
            check.done()?;
            return Ok(Self {
                endpoint,
                source,
                target: String::new(),
                account: request.param("account").map(str::to_owned),
                dereference: false,
                pattern: None,
                compression: Compression(""),
            });
        }
        let body = check.object();
        let at = ["body"];
        let source = check.body_text(&body, &at, PATH, true, true);
        let target = check.body_text(&body, &at, TARGET, true, false);
        let account = check.body_text(&body, &at, &["account"], false, true);
        let (mut dereference, mut pattern) = (false, None);
        if matches!(endpoint, Endpoint::TransferCp | Endpoint::TransferCompress) {
            dereference = check.body_flag(&body, &["dereference"]);
        }
        if endpoint == Endpoint::TransferCompress {
            let names = ["matchPattern", "match_pattern"];
            pattern = check.body_text(&body, &at, &names, false, true);
        }
        let compression = compression(&mut check, &body);
        check.done()?;
        Ok(Self {
            endpoint,
            source: source.unwrap_or_default(),
            target: target.unwrap_or_default(),
            account,
            dereference,
            pattern: pattern.filter(|pattern| !pattern.is_empty()),
            compression,
        })
    }

    fn confine(&self, ctx: &Ctx) -> Result<(), ApiError> {
        let check =
            |path: &str, follow: bool| ctx.state.file_systems.confine("slurmstepd", path, &ctx.state.user.home, follow);
        let follows = match self.endpoint {
            Endpoint::TransferMv | Endpoint::TransferRm => false,
            Endpoint::TransferExtract => true,
            _ => self.dereference,
        };
        check(&self.source, follows)?;
        if self.endpoint != Endpoint::TransferRm {
            check(&self.target, true)?;
        }
        if self.dereference {
            ctx.state.file_systems.confine_tree("cp", &self.source)?;
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        match self.endpoint {
            Endpoint::TransferMv => "MoveFiles",
            Endpoint::TransferCp => "CopyFiles",
            Endpoint::TransferRm => "DeleteFiles",
            _ => "CompressFiles",
        }
    }

    /// The job's script. Paths are put into '…' after HTML escaping, as the server does: so `&`, `<`, `>` and quotes come out
    /// as other names, and nothing can leave the quotes.
    fn script(&self, directives: &str) -> String {
        let Compression(letter) = self.compression;
        let source = escape(&self.source);
        let target = escape(&self.target);
        let (folder, name) = split(&self.source);
        let (folder, name) = (escape(folder), escape(name));
        let link = if self.dereference { "--dereference" } else { "" };
        let (title, verb, done, command) = match self.endpoint {
            Endpoint::TransferMv => ("Move", "move", "moved", format!("mv -- '{source}' '{target}'")),
            Endpoint::TransferCp => {
                let follow = if self.dereference { "L" } else { "d" };
                ("Copy", "copy", "copied", format!("cp --force -R{follow} --preserve=all -- '{source}' '{target}'"))
            }
            Endpoint::TransferRm => ("Delete", "delete", "deleted", format!("rm -R -- '{source}'")),
            Endpoint::TransferExtract => {
                ("Extract", "extract", "extracted", format!("tar -x{letter}f '{source}' -C '{target}'"))
            }
            _ => {
                let command = match &self.pattern {
                    Some(pattern) => format!(
                        "cd '{folder}'; find . -type f -regex '{}' -print0 | tar {link} -c{letter}vf '{target}' --null --files-from -",
                        escape(pattern)
                    ),
                    None => format!("tar {link} -c{letter}vf '{target}' -C '{folder}' '{name}'"),
                };
                ("Compress", "compress", "compressed", command)
            }
        };
        // The last line's exit is that of the echo before it: the job counts as COMPLETED although its work failed. A client
        // has to look for the success text.
        format!(
            "#!/bin/bash\n{directives}\n\
             echo $(date -u) \"{title} Files Job (id:${{SLURM_JOB_ID:-unknown}})\"\n\
             said=$({command})\n\
             if [[ $? == 0 ]]; then\n\
             \x20 echo $(date -u) \"Files were successfully {done}.\"\n\
             \x20 exit 0\n\
             fi\n\
             echo $(date -u) \"Unable to {verb} files exit code:1 error: $said\" >&2\n\
             exit $?\n"
        )
    }
}

/// HTML escaping, as the server's templates do it.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_quotes() {
        assert_eq!(escape("a&b'; rm \"<x>\""), "a&amp;b&#39;; rm &#34;&lt;x&gt;&#34;");
    }

    #[test]
    fn an_account_must_look_like_one() {
        let mut system = System::new("x");
        assert!(fill_in(&system, None).is_ok());
        system.account_required = true;
        assert!(fill_in(&system, None).is_err());
        assert!(fill_in(&system, Some("a\nrm")).is_err());
        assert!(fill_in(&system, Some("staff")).is_ok_and(|text| text.ends_with("--account=staff")));
    }
}
