//! What a job's shell makes of a path that the server writes into its script.
//!
//! The server puts an upload's target between double quotes and a download's source bare behind `input_file=`, both
//! HTML-escaped and otherwise as they came. Here no client's text is ever in a script as anything but a quoted word: what the
//! shell would make of it is worked out in Rust, as far as that is harmless. Backslashes are unescaped, and plain variables
//! (`$name`) expanded, those that no one sets to nothing: so a file lands, or is looked for, under another name, and the job
//! says that all went well. What would run something, end the word or break the script is `None`, and such a job fails.

use crate::commands::User;

/// Variables that bash or the script has set by then, to values that are not worked out here.
const SET: &[&str] =
    &["i", "status", "range_length", "parts_url", "tmp_directory", "parallel_run", "use_split", "num_parts"];

/// A path inside double quotes, HTML-escaped already.
pub(super) fn double_quoted(text: &str, user: &User) -> Option<String> {
    expand(text, user, true)
}

/// A path bare behind an assignment's `=`, HTML-escaped already.
pub(super) fn assigned(text: &str, user: &User) -> Option<String> {
    // A tilde behind a colon names a home.
    if text.starts_with('~') || text.contains(":~") {
        return None;
    }
    expand(text, user, false)
}

fn expand(text: &str, user: &User, quoted: bool) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\0' | '`' | '"' => return None,
            '\'' if !quoted => return None,
            c if !quoted && (c.is_ascii_whitespace() || ";|&<>()".contains(c)) => return None,
            '\\' => {
                let next = rest.chars().next()?;
                rest = &rest[next.len_utf8()..];
                match next {
                    '\n' => {}
                    '$' | '`' | '"' | '\\' => out.push(next),
                    _ if quoted => out.extend(['\\', next]),
                    _ => out.push(next),
                }
            }
            '$' => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                match rest.chars().next() {
                    Some(first) if first.is_ascii_alphabetic() || first == '_' => {
                        out.push_str(&variable(&rest[..end], user)?);
                        rest = &rest[end..];
                    }
                    // A job's script has no arguments.
                    Some(first) if first.is_ascii_digit() && first != '0' => rest = &rest[1..],
                    Some('@' | '*') => rest = &rest[1..],
                    Some('(' | '{' | '[' | '0' | '#' | '?' | '$' | '!' | '-') => return None,
                    Some('"' | '\'') if !quoted => return None,
                    _ => out.push('$'),
                }
            }
            c => out.push(c),
        }
    }
    Some(out)
}

fn variable(name: &str, user: &User) -> Option<String> {
    match name {
        "HOME" | "PWD" => Some(user.home.clone()),
        "USER" | "LOGNAME" => Some(user.name.clone()),
        // Of the environment and of bash, one would have to know them all.
        name if name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_') || SET.contains(&name) => None,
        _ => Some(String::new()),
    }
}

/// A word of a script that means this text, whatever is in it.
pub(super) fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User {
            name: "fireuser".into(),
            group: "users".into(),
            uid: 1,
            gid: 1,
            switch: false,
            local_names: (String::new(), String::new()),
            home: "/h".into(),
            bin: String::new(),
            tmp: String::new(),
        }
    }

    #[test]
    fn inside_double_quotes() {
        let table = [
            ("/h/a b;c|d(e)*~.txt", Some("/h/a b;c|d(e)*~.txt")),
            ("/h/a$x.txt", Some("/h/a.txt")),
            ("/h/$x_1-$HOME", Some("/h/-/h")),
            ("/h/5$ or $.", Some("/h/5$ or $.")),
            ("/h/a$1b", Some("/h/ab")),
            ("/h/a\\b\\\\c\\$d", Some("/h/a\\b\\c$d")),
            ("/h/a\\\nb\nc", Some("/h/ab\nc")),
            ("/h/$(id)", None),
            ("/h/`id`", None),
            ("/h/${x}", None),
            ("/h/$PATH", None),
            ("/h/$status", None),
            ("/h/a\\", None),
            ("/h/\"; id; \"", None),
        ];
        for (given, expected) in table {
            assert_eq!(double_quoted(given, &user()).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn bare_behind_an_assignment() {
        let table = [
            ("/h/a*~[b]{c,d}#!.txt", Some("/h/a*~[b]{c,d}#!.txt")),
            ("/h/a\\ b\\\\c", Some("/h/a b\\c")),
            ("/h/a$x.txt", Some("/h/a.txt")),
            ("/h/a b", None),
            ("/h/a\nb", None),
            ("/h/a&amp;b", None),
            ("/h/a(b", None),
            ("/h/a;id", None),
            ("/h/a:~", None),
            ("/h/$(id)", None),
        ];
        for (given, expected) in table {
            assert_eq!(assigned(given, &user()).as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn bash_agrees() {
        for text in ["/h/5$ or $.", "/h/a$x.txt", "/h/a\\b\\\\c\\$d", "/h/a$1b", "/h/a\\\nb\nc"] {
            let script = format!("printf %s \"{text}\"");
            let output = std::process::Command::new("bash").args(["-c", &script]).output().expect("bash");
            assert_eq!(double_quoted(text, &user()), String::from_utf8(output.stdout).ok());
        }
        for text in ["/h/a*~[b]{c,d}#!.txt", "/h/a\\ b\\\\c", "/h/a$x.txt"] {
            let script = format!("input_file={text}\nprintf %s \"$input_file\"");
            let output = std::process::Command::new("bash").args(["-c", &script]).output().expect("bash");
            assert_eq!(assigned(text, &user()), String::from_utf8(output.stdout).ok());
        }
    }

    #[test]
    fn a_word_stays_a_word() {
        assert_eq!(word("it's; $(id)"), "'it'\\''s; $(id)'");
    }
}
