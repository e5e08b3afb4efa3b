//! Commands about what is on the cluster and stays there: cp, mv, ln, readlink, glob, compress, extract, exec.

use crate::args::{Compress, Copy, Exec, Format};
use crate::context::Context;
use crate::files::remote_directory;
use crate::json;
use crate::output::{Failure, remark, shown};
use aiida_firecrest_host::transport::{Command, CompressOptions, Compression, ExtractOptions};
use aiida_firecrest_host::{Error, Session};
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::path::Path;

pub(crate) async fn cp(context: &Context, arguments: &Copy) -> Result<(), Failure> {
    let mut session = context.session().await?;
    let (source, target) = (&arguments.source, &arguments.target);
    if !arguments.recursive
        && let Some(directory) = remote_directory(&mut session, source, arguments.dereference).await?
    {
        return Err(Failure::needs_recursive(&directory));
    }
    waited(context, &mut session, async |session| session.copy(source, target, arguments.dereference).await).await?;
    context.output.answer(|| json!({"copied": source, "to": target}), String::new)
}

pub(crate) async fn mv(context: &Context, source: &str, target: &str) -> Result<(), Failure> {
    let target = into(source, target);
    let mut session = context.session().await?;
    waited(context, &mut session, async |session| session.rename(source, &target).await).await?;
    context.output.answer(|| json!({"moved": source, "to": target}), String::new)
}

/// A target with a slash at its end is a directory to move into.
fn into(source: &str, target: &str) -> String {
    let name = source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if target.ends_with('/') && !name.is_empty() { format!("{target}{name}") } else { target.to_owned() }
}

pub(crate) async fn ln(context: &Context, target: &str, link: &str) -> Result<(), Failure> {
    context.session().await?.symlink(target, link).await?;
    context.output.answer(|| json!({"link": link, "target": target}), String::new)
}

pub(crate) async fn readlink(context: &Context, paths: &[String]) -> Result<(), Failure> {
    let mut session = context.session().await?;
    let mut links = Vec::new();
    for path in paths {
        links.push((path, session.read_link(path).await?));
    }
    let document =
        || Value::Array(links.iter().map(|(path, target)| json!({"path": path, "target": target})).collect());
    context.output.answer(document, || links.iter().map(|(_, target)| shown(target)).collect::<Vec<_>>().join("\n"))
}

pub(crate) async fn glob(context: &Context, patterns: &[String]) -> Result<(), Failure> {
    let mut session = context.session().await?;
    let mut found = Vec::new();
    for pattern in patterns {
        found.push((pattern, session.glob(pattern).await?));
    }
    let document =
        || Value::Array(found.iter().map(|(pattern, paths)| json!({"pattern": pattern, "paths": paths})).collect());
    let lines = || found.iter().flat_map(|(_, paths)| paths).map(|path| shown(path)).collect::<Vec<_>>().join("\n");
    context.output.answer(document, lines)
}

fn compression(format: Format) -> Compression {
    match format {
        Format::None => Compression::None,
        Format::Gzip => Compression::Gzip,
        Format::Bzip2 => Compression::Bzip2,
        Format::Xz => Compression::Xz,
    }
}

pub(crate) async fn compress(context: &Context, arguments: &Compress) -> Result<(), Failure> {
    let archive = &arguments.archive;
    let Some(format) = arguments.format.or_else(|| Format::of_name(archive)) else {
        return Err(Failure::usage(
            archive,
            "the name tells no format (.tar, .tar.gz, .tar.bz2, .tar.xz): say --format",
        ));
    };
    let options = CompressOptions {
        compression: compression(format),
        root: arguments.root.clone(),
        dereference: arguments.dereference,
        pattern: arguments.pattern.clone(),
        overwrite: arguments.overwrite,
    };
    let mut session = context.session().await?;
    waited(context, &mut session, async |session| session.compress(&arguments.sources, archive, &options).await)
        .await?;
    context
        .output
        .answer(|| json!({"archive": archive, "format": format.name(), "sources": arguments.sources}), String::new)
}

pub(crate) async fn extract(
    context: &Context,
    archive: &str,
    target: &str,
    format: Option<Format>,
    strip: u32,
) -> Result<(), Failure> {
    let options = ExtractOptions { compression: format.map(compression), strip_components: strip };
    let mut session = context.session().await?;
    waited(context, &mut session, async |session| session.extract(archive, target, &options).await).await?;
    context.output.answer(|| json!({"archive": archive, "extracted_to": target}), String::new)
}

/// Says that a job goes on, where nobody waits for it any longer.
struct Abandoned(bool);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if self.0 {
            remark("aiida-firecrest: where it had become a job, that may go on: `jobs` shows it, `cancel` ends it");
        }
    }
}

/// Runs one operation that can be a job, and that Ctrl-C can end.
async fn waited<T>(
    context: &Context,
    session: &mut Session,
    operation: impl AsyncFnOnce(&mut Session) -> Result<T, Error>,
) -> Result<T, Failure> {
    let meter = context.wait_on(session)?;
    let mut abandoned = Abandoned(true);
    let done = operation(session).await;
    abandoned.0 = false;
    meter.clear();
    Ok(done?)
}

pub(crate) async fn exec(context: &Context, arguments: &Exec) -> Result<(), Failure> {
    let stdin = arguments.stdin.as_deref().map(read).transpose()?.unwrap_or_default();
    let seconds = |time: std::time::Duration| u32::try_from(time.as_secs_f64().ceil() as u64).unwrap_or(u32::MAX);
    let command = Command {
        line: arguments.line(),
        working_directory: arguments.cwd.clone(),
        environment: arguments.env.clone(),
        stdin,
        time_limit: arguments.time.map(seconds),
    };
    let mut session = context.session().await?;
    let output = waited(context, &mut session, async |session| session.exec(&command).await).await?;
    if context.output.is_json() {
        let mut document = json!({"exit_code": output.exit_code});
        json::content(&mut document, "stdout", output.stdout);
        json::content(&mut document, "stderr", output.stderr);
        context.output.document(&document)?;
    } else {
        context.output.bytes(&output.stdout)?;
        // A stderr that is closed is no reason to stop.
        let _ = io::stderr().write_all(&output.stderr);
    }
    match u8::try_from(output.exit_code) {
        Ok(0) => Ok(()),
        Ok(code) => Err(Failure::Status(code)),
        // By a signal, or what no exit code can be.
        Err(_) => Err(Failure::Answered { line: format!("the command's exit code is {}", output.exit_code), code: 1 }),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map_err(|error| Error::io("standard input", error))?;
        return Ok(bytes);
    }
    Ok(std::fs::read(file).map_err(|error| Error::io(file, error))?)
}

#[cfg(test)]
mod tests {
    use super::into;

    #[test]
    fn a_slash_at_the_end_moves_into() {
        assert_eq!(into("/a/b", "/c/"), "/c/b");
        assert_eq!(into("/a/b/", "/c/"), "/c/b");
        assert_eq!(into("/a/b", "/c"), "/c");
    }
}
