//! compress and extract: `tar`, cut off at the time limit with what it has written left behind.

use serde_json::{Map, Value};

use crate::commands;
use crate::errors::{ApiError, FieldError};
use crate::files::{Call, PATH, TARGET};
use crate::paths::{refuse_quotes, split};
use crate::request::Check;
use crate::router::Answer;
use crate::state::Ctx;

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compression(
    /// tar's letter for it.
    pub(crate) &'static str,
);

/// The `compression` field, gzip unless given.
pub(crate) fn compression(check: &mut Check<'_>, body: &Map<String, Value>) -> Compression {
    let value = match body.get("compression") {
        None => return Compression("z"),
        Some(value) => value,
    };
    match value.as_str() {
        Some("gzip") => Compression("z"),
        Some("none") => Compression(""),
        Some("bzip2") => Compression("j"),
        Some("xz") => Compression("J"),
        _ => {
            let expected = "'none', 'bzip2', 'gzip' or 'xz'";
            check.error_with(FieldError {
                kind: "enum",
                location: vec!["body".into(), "compression".into()],
                message: format!("Input should be {expected}"),
                input: value.clone(),
                context: Some(("expected", expected.into())),
            });
            Compression("z")
        }
    }
}

pub(super) async fn compress(call: &Call<'_>) -> Result<Answer, ApiError> {
    let mut check = call.request.check();
    let body = check.object();
    let source = check.body_text(&body, &["body"], PATH, true, true);
    let target = check.body_text(&body, &["body"], TARGET, true, false);
    let pattern = check.body_text(&body, &["body"], &["matchPattern", "match_pattern"], false, true);
    let dereference = check.body_flag(&body, &["dereference"]);
    let Compression(letter) = compression(&mut check, &body);
    check.done()?;
    call.connect()?;
    let ctx = call.ctx;
    let (source, target) = (source.unwrap_or_default(), target.unwrap_or_default());
    let (folder, name) = split(&source);
    ctx.confine("tar", &source, dereference)?;
    ctx.confine("tar", &target, true)?;
    if dereference {
        ctx.state.file_systems.confine_tree("tar", &source)?;
    }
    let link = dereference.then_some("--dereference");
    if let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) {
        refuse_quotes(&[&pattern])?;
        let mut find = ctx.command("find", [".", "-type", "f", "-regex", &pattern, "-print0"]);
        find.current_dir(folder);
        let names = commands::run(find, None, ctx.limits, false).await?.ok()?;
        let mut tar = ctx.command("tar", link);
        // The server compresses with gzip here, whatever was asked for.
        tar.args(["-czvf", &target, "--null", "--files-from", "-"]).current_dir(folder);
        commands::run(tar, Some(&names.stdout), ctx.limits, false).await?.ok()?;
        return Ok(Answer::nothing());
    }
    let mut tar = ctx.command("tar", link);
    tar.args([&format!("-c{letter}vf"), &target, "-C", folder, name]);
    commands::run(tar, None, ctx.limits, false).await?.ok()?;
    Ok(Answer::nothing())
}

pub(super) async fn extract(call: &Call<'_>) -> Result<Answer, ApiError> {
    let mut check = call.request.check();
    let body = check.object();
    let source = check.body_text(&body, &["body"], PATH, true, true);
    let target = check.body_text(&body, &["body"], TARGET, true, false);
    let Compression(letter) = compression(&mut check, &body);
    check.done()?;
    call.connect()?;
    let ctx = call.ctx;
    let (source, target) = (source.unwrap_or_default(), target.unwrap_or_default());
    ctx.confine("tar", &source, true)?;
    ctx.confine("tar", &target, true)?;
    if ctx.state.file_systems.confine_tree("tar", &target).is_err() {
        confine_members(ctx, letter, &source, &target).await?;
    }
    ctx.run("tar", [&format!("-x{letter}f"), &source, "-C", &target]).await?.ok()?;
    Ok(Answer::nothing())
}

/// Refuses an archive with a member that would go through a link that leads out.
async fn confine_members(ctx: &Ctx, letter: &str, source: &str, target: &str) -> Result<(), ApiError> {
    let list = format!("-t{letter}f");
    let output = ctx.run("tar", ["--quoting-style=escape", &list, source]).await?.ok()?;
    for name in output.text().lines() {
        if name.contains('\\') {
            // Unusual enough to be kept away from such a folder.
            return Err(ApiError::remote(2, &format!("tar: {name}: Cannot open: Permission denied")));
        }
        ctx.state.file_systems.confine(
            "tar",
            &format!("{target}/{}", name.trim_end_matches('/')),
            &ctx.state.user.home,
            false,
        )?;
    }
    Ok(())
}
