//! `ls`, and the reading of its lines, with all that the real server's reading loses: octal escapes stay, devices vanish.

use serde::Serialize;

use crate::commands::User;
use crate::errors::ApiError;
use crate::files::Call;
use crate::router::Answer;
use crate::state::Ctx;

/// One listed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct File {
    name: String,
    r#type: String,
    link_target: Option<String>,
    user: String,
    group: String,
    permissions: String,
    last_modified: String,
    size: String,
}

const OPTIONS: [&str; 3] = ["-l", "--quoting-style=c", "--time-style=+%Y-%m-%dT%H:%M:%S"];

pub(super) async fn get(call: &Call<'_>) -> Result<Answer, ApiError> {
    let mut check = call.request.check();
    let path = check.text("path");
    let hidden = check.flag("showHidden");
    let numeric = check.flag("numericUid");
    let recursive = check.flag("recursive");
    let dereference = check.flag("dereference");
    check.done()?;
    call.connect()?;
    let ctx = call.ctx;
    // A link to a folder is listed as a link, unless it is followed.
    ctx.confine("ls", &path, dereference)?;
    if dereference {
        if recursive {
            ctx.state.file_systems.confine_tree("ls", &path)?;
        } else {
            confine_entries(ctx, &path)?;
        }
    }
    let mut arguments: Vec<&str> = OPTIONS.to_vec();
    for (wanted, option) in [(hidden, "-A"), (numeric, "--numeric-uid-gid"), (recursive, "-R"), (dereference, "-L")] {
        if wanted {
            arguments.push(option);
        }
    }
    arguments.extend(["--", &path]);
    let output = ctx.run("ls", arguments).await?.ok()?;
    let names = (!numeric).then_some(&ctx.state.user);
    Ok(super::read::output(200, &parse(&output.text(), names)))
}

/// Refuses a folder whose entries, followed, lead out.
fn confine_entries(ctx: &Ctx, path: &str) -> Result<(), ApiError> {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if let Some(path) = entry.path().to_str() {
            ctx.state.file_systems.confine("ls", path, &ctx.state.user.home, true)?;
        }
    }
    Ok(())
}

/// Lists one path itself, as the operations do that answer with what they changed.
pub(super) async fn one(ctx: &Ctx, path: &str) -> Result<Option<File>, ApiError> {
    let mut arguments: Vec<&str> = OPTIONS.to_vec();
    arguments.extend(["-d", "--", path]);
    let output = ctx.run("ls", arguments).await?.ok()?;
    Ok(parse(&output.text(), Some(&ctx.state.user)).into_iter().next())
}

/// Reads `ls -l --quoting-style=c`. With `user`, this machine's name of the simulated user becomes the one that clients know.
fn parse(text: &str, user: Option<&User>) -> Vec<File> {
    let mut files = Vec::new();
    let mut root = String::new();
    let mut prefix = String::new();
    let mut recursive = false;
    for (number, line) in text.lines().enumerate() {
        let header = line.strip_prefix('"').and_then(|rest| rest.strip_suffix("\":")).filter(|name| !name.is_empty());
        match header {
            Some(name) if number == 0 || recursive => {
                let folder = format!("{}/", name.trim_end_matches('/'));
                if number == 0 {
                    recursive = true;
                    root.clone_from(&folder);
                }
                prefix = folder.strip_prefix(&root).unwrap_or(&folder).to_owned();
            }
            _ => files.extend(parse_line(line, &prefix, user)),
        }
    }
    files
}

fn parse_line(line: &str, prefix: &str, user: Option<&User>) -> Option<File> {
    let mut rest = line;
    let mut next = || {
        let trimmed = rest.trim_start();
        let end = trimmed.find(char::is_whitespace)?;
        let (token, tail) = trimmed.split_at(end);
        rest = tail;
        Some(token)
    };
    let mode = next()?;
    let links = next()?;
    let owner = next()?;
    let group = next()?;
    let size = next()?;
    let modified = next()?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut mode_chars = mode.chars();
    let kind = mode_chars.next()?;
    let permissions = mode_chars.as_str();
    if permissions.is_empty()
        || !digits(links)
        || !digits(size)
        || !modified.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | 'T' | ':'))
    {
        return None;
    }
    let mut tokens = words(rest.trim_start())?.into_iter();
    let (name, link_target) = match (tokens.next(), tokens.next(), tokens.next(), tokens.next()) {
        (Some(name), None, _, _) => (name, None),
        (Some(name), Some(_), Some(target), None) => (name, Some(target)),
        _ => return None,
    };
    let (owner, group) = match user {
        Some(user) => (
            renamed(owner, user.uid, &user.local_names.0, &user.name),
            renamed(group, user.gid, &user.local_names.1, &user.group),
        ),
        None => (owner.to_owned(), group.to_owned()),
    };
    Some(File {
        name: format!("{prefix}{name}"),
        r#type: kind.to_string(),
        link_target,
        user: owner,
        group,
        permissions: permissions.to_owned(),
        last_modified: modified.to_owned(),
        size: size.to_owned(),
    })
}

fn renamed(given: &str, id: u32, local: &str, name: &str) -> String {
    if given == local || given == id.to_string() { name.to_owned() } else { given.to_owned() }
}

/// Splits as Python's shlex does: in double quotes a backslash escapes a quote and itself, and otherwise stays.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.peek().is_some_and(|c| c.is_whitespace()) {
            chars.next();
        }
        if chars.peek().is_none() {
            return Some(words);
        }
        let mut word = String::new();
        let mut quoted = false;
        while let Some(c) = chars.next_if(|c| quoted || !c.is_whitespace()) {
            match c {
                '"' => quoted = !quoted,
                '\\' if quoted => match chars.next()? {
                    c @ ('"' | '\\') => word.push(c),
                    c => {
                        word.push('\\');
                        word.push(c);
                    }
                },
                c => word.push(c),
            }
        }
        if quoted {
            return None;
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        parse(text, None).into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn lines_are_read_as_the_server_reads_them() {
        let text = concat!(
            "total 8\n",
            "lrwxrwxrwx 1 fireuser users 46 2023-07-25T14:18:00 \"a b\" -> \"t\\\"x\"\n",
            "-rw-rw-r--+ 1 fireuser users 0 2023-07-24T11:45:35 \"\\303\\274n\\nl\\\\\"\n",
            "crw-rw-rw- 1 root root 1, 3 2023-07-24T11:45:35 \"null\"\n",
        );
        let files = parse(text, None);
        assert_eq!(files.len(), 2);
        assert_eq!(files[0].name, "a b");
        assert_eq!(files[0].link_target.as_deref(), Some("t\"x"));
        assert_eq!(files[1].name, "\\303\\274n\\nl\\");
        assert_eq!(files[1].permissions, "rw-rw-r--+");
    }

    #[test]
    fn names_of_a_recursive_listing_are_relative() {
        let text = concat!(
            "\"/r/a\":\ntotal 4\n",
            "drwxr-xr-x 1 u g 1 2023-07-24T11:45:35 \"sub\"\n",
            "\n\"/r/a/sub\":\ntotal 0\n",
            "-rw-r--r-- 1 u g 1 2023-07-24T11:45:35 \"f\"\n",
        );
        assert_eq!(names(text), ["sub", "sub/f"]);
    }

    #[test]
    fn a_file_is_named_in_full() {
        assert_eq!(names("-rw-r--r-- 1 u g 7 2026-11-24T06:19:56 \"/r/a.txt\"\n"), ["/r/a.txt"]);
    }
}
