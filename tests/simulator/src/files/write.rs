//! Operations that change one thing: mkdir, symlink, chmod, chown, rm, upload.

use tokio::time::{Instant, sleep_until};

use crate::commands;
use crate::errors::{ApiError, NO_SPACE};
use crate::faults::FaultKind;
use crate::files::{Call, PATH, ls, multipart, read};
use crate::paths::refuse_quotes;
use crate::router::Answer;

pub(super) async fn mkdir(call: &Call<'_>) -> Result<Answer, ApiError> {
    let mut check = call.request.check();
    let body = check.object();
    let path = check.body_text(&body, &["body"], PATH, true, true);
    let parent = check.body_flag(&body, &["parent"]);
    check.done()?;
    call.connect()?;
    let path = path.unwrap_or_default();
    call.ctx.confine("mkdir", &path, parent)?;
    let mut arguments = Vec::new();
    if parent {
        arguments.push("-p");
    }
    arguments.extend(["--", &path]);
    call.ctx.run("mkdir", arguments).await?.ok()?;
    Ok(read::output(201, &ls::one(call.ctx, &path).await?))
}

pub(super) async fn symlink(call: &Call<'_>) -> Result<Answer, ApiError> {
    let mut check = call.request.check();
    let body = check.object();
    let target = check.body_text(&body, &["body"], PATH, true, true);
    let link = check.body_text(&body, &["body"], &["linkPath", "link_path"], true, false);
    check.done()?;
    call.connect()?;
    let (target, link) = (target.unwrap_or_default(), link.unwrap_or_default());
    refuse_quotes(&[&target])?;
    // Where the link's name is a link to a folder, the new link lands in that folder.
    call.ctx.confine("ln", &link, true)?;
    call.ctx.run("ln", ["-s", "--", &target, &link]).await?.ok()?;
    Ok(read::output(201, &ls::one(call.ctx, &link).await?))
}

pub(super) async fn chmod(call: &Call<'_>) -> Result<Answer, ApiError> {
    let mut check = call.request.check();
    let body = check.object();
    let path = check.body_text(&body, &["body"], PATH, true, true);
    let mode = check.body_text(&body, &["body"], &["mode"], true, false);
    check.done()?;
    call.connect()?;
    let (path, mode) = (path.unwrap_or_default(), mode.unwrap_or_default());
    refuse_quotes(&[&mode])?;
    call.ctx.confine("chmod", &path, true)?;
    call.ctx.run("chmod", ["-v", &mode, "--", &path]).await?.ok()?;
    Ok(read::output(200, &ls::one(call.ctx, &path).await?))
}

pub(super) async fn chown(call: &Call<'_>) -> Result<Answer, ApiError> {
    let mut check = call.request.check();
    let body = check.object();
    let path = check.body_text(&body, &["body"], PATH, true, true);
    let owner = check.body_text(&body, &["body"], &["owner"], false, false);
    let group = check.body_text(&body, &["body"], &["group"], false, false);
    check.done()?;
    call.connect()?;
    let path = path.unwrap_or_default();
    let (owner, group) = (owner.unwrap_or_default(), group.unwrap_or_default());
    refuse_quotes(&[&owner, &group])?;
    call.ctx.confine("chown", &path, true)?;
    // This machine need not know the simulated user by name.
    let user = &call.ctx.state.user;
    let known = |name: &str, wanted: &str, local: &str| {
        if name == wanted { local.to_owned() } else { name.to_owned() }
    };
    let who = format!(
        "{}:{}",
        known(&owner, &user.name, &user.local_names.0),
        known(&group, &user.group, &user.local_names.1)
    );
    call.ctx.run("chown", ["-v", &who, "--", &path]).await?.ok()?;
    Ok(read::output(200, &ls::one(call.ctx, &path).await?))
}

pub(super) async fn rm(call: &Call<'_>) -> Result<Answer, ApiError> {
    let mut check = call.request.check();
    let path = check.text("path");
    check.done()?;
    call.connect()?;
    call.ctx.confine("rm", &path, false)?;
    call.ctx.run("rm", ["-r", "--interactive=never", "--", &path]).await?.ok()?;
    Ok(Answer::nothing())
}

pub(super) async fn upload(call: &Call<'_>) -> Result<Answer, ApiError> {
    let mut check = call.request.check();
    let path = check.text("path");
    let content_type = call.request.header("content-type").unwrap_or_default();
    let part = multipart::file(content_type, &call.request.body, "file")?;
    if part.is_none() {
        check.error("missing", &["body", "file"], "Field required", serde_json::Value::Null);
    }
    check.done()?;
    let Some(part) = part else {
        return Err(ApiError::new(400, "Field required"));
    };
    let ctx = call.ctx;
    if part.content.len() as u64 > ctx.system.max_ops_file_size {
        return Err(ApiError::new(413, "File to upload is too large."));
    }
    call.connect()?;
    let target = format!("{path}/{}", part.name);
    ctx.confine("bash: line 1", &target, true)?;
    let deadline = Instant::now() + ctx.limits.time;
    // A fixed script; the path is its argument and never read as shell text.
    let command = ctx.command("bash", ["-c", "cat > \"$1\"", "bash", &target]);
    let full = call.request.fault == Some(FaultKind::DiskFull);
    let fits = if full { &part.content[..part.content.len() / 2] } else { part.content };
    let output = commands::run(command, Some(fits), ctx.limits, false).await?;
    if full {
        return Err(ApiError::remote(1, &format!("base64: write error: {NO_SPACE}")));
    }
    if output.status != 0 {
        if ctx.state.refuses_unsaid() {
            return Err(ApiError::unhandled("('Channel not open for sending',)"));
        }
        let text = output.stderr.replacen("bash: /", "bash: line 1: /", 1);
        return Err(ApiError::remote(output.status, &text));
    }
    if part.content.is_empty() {
        // The server sends nothing, not even an end, and its `base64 -d` waits for it.
        sleep_until(deadline).await;
        return Err(ApiError::timeout());
    }
    Ok(Answer::nothing())
}
