//! Operations that read: stat, head, tail, view, checksum, file, download.

use serde::Serialize;
use serde_json::json;

use crate::commands;
use crate::errors::ApiError;
use crate::files::Call;
use crate::router::Answer;

#[derive(Serialize)]
struct Stat {
    mode: u64,
    ino: u64,
    dev: u64,
    nlink: u64,
    uid: u64,
    gid: u64,
    size: u64,
    atime: u64,
    ctime: u64,
    mtime: u64,
}

pub(super) async fn stat(call: &Call<'_>) -> Result<Answer, ApiError> {
    let mut check = call.request.check();
    let path = check.text("path");
    let dereference = check.flag("dereference");
    check.done()?;
    call.connect()?;
    call.ctx.confine("stat", &path, dereference)?;
    let mut arguments = Vec::new();
    if dereference {
        arguments.push("--dereference");
    }
    arguments.extend(["-c", "%f %i %d %h %u %g %s %X %Y %Z", "--", &path]);
    let text = call.ctx.run("stat", arguments).await?.ok()?.text();
    let fields: Vec<&str> = text.split_whitespace().collect();
    let number = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<i64>().ok())
            .and_then(|number| u64::try_from(number).ok())
            .unwrap_or(0)
    };
    let stat = Stat {
        mode: fields.first().and_then(|field| u64::from_str_radix(field, 16).ok()).unwrap_or(0),
        ino: number(1),
        dev: number(2),
        nlink: number(3),
        uid: number(4),
        gid: number(5),
        size: number(6),
        atime: number(7),
        mtime: number(8),
        ctime: number(9),
    };
    Ok(output(200, &stat))
}

/// An operation's answer, in the key order of its parts.
pub(super) fn output(status: u16, value: &impl Serialize) -> Answer {
    #[derive(Serialize)]
    struct Output<'a, T> {
        output: &'a T,
    }
    Answer::json(status, &Output { output: value })
}

/// What `head` and `tail` have in common.
struct Excerpt {
    path: String,
    bytes: Option<i64>,
    lines: Option<i64>,
    rest: bool,
}

impl Excerpt {
    fn of(call: &Call<'_>, rest_name: &'static str, tool: &str) -> Result<Self, ApiError> {
        let mut check = call.request.check();
        let excerpt = Self {
            path: check.text("path"),
            bytes: check.integer("bytes"),
            lines: check.integer("lines"),
            rest: check.flag(rest_name),
        };
        check.done()?;
        let given = |value: Option<i64>| value.is_some_and(|value| value != 0);
        if given(excerpt.lines) && given(excerpt.bytes) {
            return Err(ApiError::new(400, "Only one of `bytes` or `lines` can be specified."));
        }
        call.connect()?;
        call.ctx.confine(tool, &excerpt.path, true)?;
        Ok(excerpt)
    }

    async fn run(&self, call: &Call<'_>, tool: &str, sign: &str) -> Result<String, ApiError> {
        let sign = if self.rest { sign } else { "" };
        let mut arguments = Vec::new();
        for (option, value) in [("--bytes", self.bytes), ("--lines", self.lines)] {
            if let Some(value) = value.filter(|value| *value != 0) {
                arguments.push(format!("{option}={sign}{value}"));
            }
        }
        arguments.extend(["--".to_owned(), self.path.clone()]);
        Ok(call.ctx.run(tool, arguments).await?.ok()?.text())
    }

    fn answer(&self, content: &str, start: i64, end: i64) -> Answer {
        let unit = if self.bytes.is_some_and(|bytes| bytes != 0) { "bytes" } else { "lines" };
        Answer::json(
            200,
            &json!({ "output": {
                "content": content,
                "contentType": unit,
                "startPosition": start,
                "endPosition": end,
            }}),
        )
    }
}

pub(super) async fn head(call: &Call<'_>) -> Result<Answer, ApiError> {
    let excerpt = Excerpt::of(call, "skipTrailing", "head")?;
    let content = excerpt.run(call, "head", "-").await?;
    let end = match excerpt.lines.or(excerpt.bytes) {
        None => 10,
        Some(count) if excerpt.rest => -count,
        Some(count) => count,
    };
    Ok(excerpt.answer(&content, 0, end))
}

pub(super) async fn tail(call: &Call<'_>) -> Result<Answer, ApiError> {
    let excerpt = Excerpt::of(call, "skipHeading", "tail")?;
    let content = excerpt.run(call, "tail", "+").await?;
    let start = match excerpt.lines.or(excerpt.bytes) {
        None => 10,
        Some(count) if excerpt.rest => count,
        Some(count) => -count,
    };
    Ok(excerpt.answer(&content, start, -1))
}

pub(super) async fn view(call: &Call<'_>) -> Result<Answer, ApiError> {
    let mut check = call.request.check();
    let path = check.text("path");
    let size = check.integer("size").unwrap_or(5 * 1024 * 1024);
    let offset = check.integer("offset").unwrap_or(0);
    check.done()?;
    if offset < 0 {
        return Err(ApiError::new(400, "`offset` value must be an integer value equal or greater than 0"));
    }
    if size <= 0 {
        return Err(ApiError::new(400, "`size` value must be an integer value greater than 0"));
    }
    let limit = call.ctx.system.max_ops_file_size;
    if size.unsigned_abs() > limit {
        return Err(ApiError::new(400, format!("`size` value must be less than {limit} bytes")));
    }
    call.connect()?;
    call.ctx.confine("dd", &path, true)?;
    let arguments =
        [format!("if={path}"), format!("bs={size}"), format!("skip={}", offset / size), "count=2".to_owned()];
    let output = call.ctx.run("dd", arguments).await?.ok()?;
    // Characters, not bytes: the server cuts the decoded text.
    let skip = usize::try_from(offset % size).unwrap_or(0);
    let take = usize::try_from(size).unwrap_or(0);
    let text: String = output.text().chars().skip(skip).take(take).collect();
    Ok(Answer::json(200, &json!({ "output": text })))
}

pub(super) async fn checksum(call: &Call<'_>) -> Result<Answer, ApiError> {
    let path = only_path(call, "sha256sum", true)?;
    let output = call.ctx.run("sha256sum", ["--", &path]).await?.ok()?;
    let text = output.text();
    let mut parts = text.split_whitespace();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(hash), Some(_), None) => {
            Ok(Answer::json(200, &json!({ "output": { "algorithm": "SHA256", "checksum": hash } })))
        }
        _ => Err(ApiError::new(500, format!("Invalid output: {text} {}", output.stderr))),
    }
}

pub(super) async fn file_type(call: &Call<'_>) -> Result<Answer, ApiError> {
    let path = only_path(call, "file", false)?;
    let output = call.ctx.run("file", ["-b", "--", &path]).await?;
    let text = if output.status == 127 { guess_type(&path) } else { output.ok()?.text().trim().to_owned() };
    Ok(Answer::json(200, &json!({ "output": text })))
}

/// Stands in for `file` where this machine has none.
fn guess_type(path: &str) -> String {
    let Ok(data) = std::fs::symlink_metadata(path) else {
        return format!("cannot open `{path}' (No such file or directory)");
    };
    if data.is_dir() {
        "directory".into()
    } else if data.is_symlink() {
        let target = std::fs::read_link(path).unwrap_or_default();
        format!("symbolic link to {}", target.display())
    } else if data.len() == 0 {
        "empty".into()
    } else {
        let mut start = vec![0; 4096];
        let length =
            std::fs::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut start)).unwrap_or(0);
        match std::str::from_utf8(&start[..length]) {
            Ok(text) if text.is_ascii() && !text.contains('\0') => "ASCII text".into(),
            Ok(text) if !text.contains('\0') => "Unicode text, UTF-8 text".into(),
            _ => "data".into(),
        }
    }
}

pub(super) async fn download(call: &Call<'_>) -> Result<Answer, ApiError> {
    let path = only_path(call, "base64", true)?;
    let ctx = call.ctx;
    // The real server runs `base64` and decodes: here the bytes come as they are, counted as base64, with its error texts.
    let command = ctx.command("cat", ["--", &path]);
    let output = commands::run(command, None, ctx.limits, true).await?;
    if output.status != 0 {
        let text = output
            .stderr
            .replace(&format!("cat: {path}: Is a directory"), "base64: read error: Is a directory")
            .replace("cat: ", "base64: ");
        return Err(ApiError::remote(output.status, &text));
    }
    Ok(Answer::bytes(output.stdout))
}

fn only_path(call: &Call<'_>, tool: &str, follow: bool) -> Result<String, ApiError> {
    let mut check = call.request.check();
    let path = check.text("path");
    check.done()?;
    call.connect()?;
    call.ctx.confine(tool, &path, follow)?;
    Ok(path)
}
