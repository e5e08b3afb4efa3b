//! From a refusal of the server to a typed error.
//!
//! FirecREST 2.x derives its status from a search for words in the tool's output (`base_command_error_handling.py`), a file's name
//! included, and answers 500 for all it does not find. So the tool's own last words are read first, and the status second.

use std::time::Duration;

use super::v2::lenient::Field;
use crate::error::{Error, Info, Kind};
use crate::http::retry::{Effect, Event};
use crate::number::millionths;

/// The server's text is shown up to here, in characters.
const LONGEST_SHOWN: usize = 2000;

/// A missing system has the status of a missing path or job, 404. This is how to tell them apart.
pub const SYSTEM_NOT_FOUND: &str = "System not found";

/// What a line of a tool's output ends with (strerror(3) and the tools' own words), and what that means.
const LINE_ENDINGS: &[(&str, Kind)] = &[
    ("No such file or directory", Kind::NotFound),
    ("Permission denied", Kind::PermissionDenied),
    ("Operation not permitted", Kind::PermissionDenied),
    ("Read-only file system", Kind::PermissionDenied),
    ("File exists", Kind::AlreadyExists),
    ("Is a directory", Kind::IsADirectory),
    ("Not a directory", Kind::NotADirectory),
    ("Directory not empty", Kind::NotEmpty),
    ("File name too long", Kind::InvalidArgument),
    ("Too many levels of symbolic links", Kind::InvalidArgument),
    ("No space left on device", Kind::TooLarge),
    ("Disk quota exceeded", Kind::TooLarge),
    ("File too large", Kind::TooLarge),
];

/// What the server's own sentences hold, and what that means. In this order.
const SENTENCES: &[(&str, Kind)] = &[
    ("does not match any of the defined filesystem paths", Kind::InvalidArgument),
    ("is not an absolute path", Kind::InvalidArgument),
    ("Unable to decode request and retreive the required path", Kind::InvalidArgument),
    ("Account parameter is required", Kind::InvalidArgument),
    ("Requested transfer method is not available", Kind::Unsupported),
    ("when configured to use rest connection mode", Kind::Unsupported),
    ("Command output exceeded buffer limit", Kind::TooLarge),
    ("is too large", Kind::TooLarge),
    // The answer to a download of about 6 MiB: the buffer is full and the channel is closed.
    ("Channel not open for sending", Kind::TooLarge),
    ("Command execution timeout limit exceeded", Kind::Timeout),
    ("No SSH credentials found", Kind::PermissionDenied),
    ("service for the requested system", Kind::Unavailable),
    (SYSTEM_NOT_FOUND, Kind::NotFound),
    ("Job not found", Kind::NotFound),
    ("Invalid job id specified", Kind::NotFound),
    ("Unable to find JobId", Kind::NotFound),
    ("already exists", Kind::AlreadyExists),
    ("Invalid job id", Kind::InvalidArgument),
    ("Bad job/step specified", Kind::InvalidArgument),
    ("accounting/QOS policy limit exceeded", Kind::RateLimited),
    ("invalid mode:", Kind::InvalidArgument),
    ("invalid user", Kind::InvalidArgument),
    ("invalid group", Kind::InvalidArgument),
    ("unexpected EOF while looking for matching", Kind::InvalidArgument),
    ("not in gzip format", Kind::InvalidArgument),
    ("does not look like a tar archive", Kind::InvalidArgument),
    ("cannot overwrite non-directory", Kind::NotADirectory),
    ("into itself", Kind::InvalidArgument),
    ("to a subdirectory of itself", Kind::InvalidArgument),
    ("are the same file", Kind::InvalidArgument),
];

/// What a status means where the text says nothing.
fn by_status(status: u16) -> Kind {
    match status {
        400 | 422 => Kind::InvalidArgument,
        401 => Kind::Unauthenticated,
        403 => Kind::PermissionDenied,
        404 => Kind::NotFound,
        408 | 504 => Kind::Timeout,
        409 => Kind::AlreadyExists,
        413 => Kind::TooLarge,
        429 => Kind::RateLimited,
        501 => Kind::Unsupported,
        424 | 502 | 503 => Kind::Unavailable,
        _ => Kind::Other,
    }
}

/// All that a refusal says, on one string (openapi.json `ApiResponseError`). None: FirecREST did not write it.
fn read(bytes: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let refusal = Field::new(&answer);
    refusal.at("errorType").text()?;
    // A validation error's message quotes Python; its fields are meant for people.
    let word = |field: Field<'_>, key| field.at(key).text().unwrap_or_default();
    let fields = refusal.at("data").at("fields").list();
    let told: Vec<String> = fields.map(|f| format!("{}: {}", word(f, "name"), word(f, "message"))).collect();
    if !told.is_empty() {
        return Some(told.join("; "));
    }
    let mut text = word(refusal, "message");
    // Slurm's words are in causedBy when several commands ran at once.
    for cause in refusal.at("causedBy").list().filter_map(Field::text) {
        text.push('\n');
        text.push_str(&cause);
    }
    Some(text)
}

/// How a try ended that was refused.
pub fn event(status: u16, bytes: &[u8]) -> Event {
    Event::of_answer(status, &read(bytes).unwrap_or_default())
}

/// Types a refusal. `now`: Unix seconds, for a Retry-After that is a date.
pub fn classify(
    status: u16,
    headers: &[(String, String)],
    bytes: &[u8],
    effect: Effect,
    subject: &str,
    now: u64,
) -> Error {
    let refusal = read(bytes);
    let text = refusal.clone().unwrap_or_default();
    let event = Event::of_answer(status, &text);
    let kind = match status {
        // These statuses say all by themselves; 404 and 5xx do not.
        401 => Kind::Unauthenticated,
        413 => Kind::TooLarge,
        429 => Kind::RateLimited,
        _ if effect.changes() && event.leaves_doubt() => Kind::OutcomeUnknown,
        _ if matches!(event, Event::NotReached | Event::Faltered) => Kind::Unavailable,
        _ => by_text(&text, effect).unwrap_or_else(|| by_status(status)),
    };
    let (kind, message) = match (&refusal, status) {
        (None, 300..=399) => (
            Kind::Unavailable,
            format!("what answers there sends on to elsewhere ({status}): is the option url right?"),
        ),
        // nginx's words for http on a port of https.
        (None, 400) if String::from_utf8_lossy(bytes).contains("HTTPS port") => {
            (Kind::Unavailable, "what answers there speaks https, not http: is the option url right?".into())
        }
        (None, 400 | 405) => (Kind::Unavailable, format!("what answers there is not FirecREST: it says {status}")),
        (None, 404) => (
            Kind::Unavailable,
            "what answers there is not FirecREST: it does not know the path (is the option url right?)".into(),
        ),
        // FastAPI's word for a path that no version of the API has: the URL or the version is wrong, not the caller's path.
        (Some(_), 404) if text == "Not Found" => (
            Kind::Unavailable,
            "the server does not know this call: is the option url right, and the server's version 2?".into(),
        ),
        (Some(_), _) => (kind, format!("{subject}: {}", first_words(&text))),
        (None, _) => (kind, format!("{subject}: the server says {status}{}", plain(bytes))),
    };
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    Error {
        kind,
        info: Box::new(Info {
            message,
            subject: Some(subject.to_owned()),
            http_status: Some(status),
            server_message: Some(shorten(&text)).filter(|t| !t.is_empty()),
            request_id: header("x-request-id"),
            retry_after_ms: retry_after(headers, now).map(|pause| pause.as_millis() as u64),
            still_on_its_way: event == Event::GatewayTimeout,
        }),
    }
}

/// What the words of a tool or of the server mean, if they mean anything.
pub fn by_text(text: &str, effect: Effect) -> Option<Kind> {
    if text.contains("sbatch: error:") {
        return Some(if text.contains("Unable to open file") { Kind::NotFound } else { Kind::InvalidArgument });
    }
    // tar goes on after what it could not make, and complains of everything below that. What it may not replace `exists`, and so does
    // a directory in a file's place, which `not_made` names for a look.
    if let Some(line) = first_of_tar(text) {
        if line.trim_end().ends_with(": Cannot open: File exists") {
            return Some(Kind::PermissionDenied);
        }
        if let Some((_, kind)) = LINE_ENDINGS.iter().find(|(end, _)| line.trim_end().ends_with(end)) {
            return Some(*kind);
        }
    }
    // From the last line: what came before may quote names. The tools end a line with the reason and nothing else.
    for line in text.lines().rev() {
        if let Some((_, kind)) = LINE_ENDINGS.iter().find(|(end, _)| line.trim_end().ends_with(end)) {
            return Some(*kind);
        }
    }
    let kind = SENTENCES.iter().find(|(part, _)| text.contains(part)).map(|(_, kind)| *kind)?;
    // The command was killed after its time: a write may have got anywhere.
    Some(if kind == Kind::Timeout && effect.changes() { Kind::OutcomeUnknown } else { kind })
}

/// tar's first complaint.
fn first_of_tar(text: &str) -> Option<&str> {
    text.lines().find(|line| line.contains("tar: ") && line.contains(": Cannot "))
}

/// What tar could not make because something `exists`, as it names it.
pub fn not_made(text: &str) -> Option<&str> {
    let (_, line) = first_of_tar(text)?.split_once("tar: ")?;
    line.trim_end().strip_suffix(": Cannot open: File exists")
}

/// Without the preamble that the server puts before every tool's output.
fn first_words(text: &str) -> String {
    let text = match text
        .strip_prefix("Remote process failed with exit status:")
        .and_then(|rest| rest.split_once("error message:"))
    {
        Some((_, tool)) => tool,
        None => text,
    };
    let text = text.strip_prefix("Unexpected Slurm command response. ").unwrap_or(text);
    shorten(text.trim()).replace('\n', "; ")
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A gateway's plain text, if it is short and no page.
fn plain(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.trim().is_empty() && text.len() < 200 && !text.contains('<') => format!(" ({})", text.trim()),
        _ => String::new(),
    }
}

/// How long the server asks to wait: Retry-After in seconds or as a date (RFC 9110 section 10.2.3), else a RateLimit header:
/// `RateLimit-Reset`, `X-RateLimit-Reset` (seconds, or as some gateways write it the Unix time), or `RateLimit` with `t=` or `reset=`
/// (drafts 10 and 3 of the IETF's httpapi group). A date is one of the server's clock, which the answer tells; `now` stands in for it.
pub fn retry_after(headers: &[(String, String)], now: u64) -> Option<Duration> {
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.trim());
    let date = |text: &str| {
        let since = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH);
        Some(since.ok()?.as_secs())
    };
    let now = header("date").and_then(date).unwrap_or(now);
    // What is larger than any pause is a time: that of September 2001 or later.
    let seconds = |text: &str| {
        let told = Duration::from_micros(millionths(text)?);
        Some(if told.as_secs() < 1_000_000_000 { told } else { told.saturating_sub(Duration::from_secs(now)) })
    };
    match header("retry-after") {
        Some(text) => seconds(text).or_else(|| Some(Duration::from_secs(date(text)?.saturating_sub(now)))),
        None => {
            let among = |text: &str| {
                let value = text.split([';', ',']).find_map(|part| {
                    let (name, value) = part.trim().split_once('=')?;
                    matches!(name, "t" | "reset").then_some(value)
                });
                value.and_then(seconds)
            };
            let named = header("ratelimit-reset").or_else(|| header("x-ratelimit-reset"));
            named.and_then(seconds).or_else(|| header("ratelimit").and_then(among))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, message: &str, effect: Effect) -> Kind {
        let body =
            serde_json::json!({"errorType": "error", "message": message, "causedBy": null, "data": null, "user": "u"});
        classify(status, &[], body.to_string().as_bytes(), effect, "/p", 0).kind
    }

    /// Status, message and meaning of every refusal that was recorded from a real server (FirecREST 2.5.7, Slurm 22.05).
    #[test]
    fn recorded_refusals() {
        let tool = |text: &str| format!("Remote process failed with exit status:1 and error message:{text}");
        let slurm = |text: &str| format!("Unexpected Slurm command response. exit_status:1 std_err:{text}");
        let cases = [
            (400, tool("mkdir: cannot create directory '/home/fireuser/probe': File exists"), Kind::AlreadyExists),
            (404, tool("mkdir: cannot create directory '/home/x/y': No such file or directory"), Kind::NotFound),
            (404, tool("stat: cannot statx '/home/fireuser/probe/nope': No such file or directory"), Kind::NotFound),
            (403, tool("stat: cannot statx '/home/firesrv/.ssh/authorized_keys': Permission denied"), Kind::PermissionDenied),
            (
                400,
                "The provided path (/etc/passwd) does not match any of the defined filesystem paths for the requested system (c).".into(),
                Kind::InvalidArgument,
            ),
            (400, "The provided path (foo) is not an absolute path.".into(), Kind::InvalidArgument),
            (400, "Unable to decode request and retreive the required path or source_path parameter.".into(), Kind::InvalidArgument),
            (404, tool("ls: cannot access '/home/fireuser/probe/nope': No such file or directory"), Kind::NotFound),
            (403, tool("ls: cannot open directory '/home/firesrv/.ssh': Permission denied"), Kind::PermissionDenied),
            (404, tool("bash: line 1: /home/fireuser/probe/nope/a.txt: No such file or directory"), Kind::NotFound),
            (403, tool("bash: line 1: /home/firesrv/a.txt: Permission denied"), Kind::PermissionDenied),
            (500, tool("bash: line 1: /home/fireuser/probe: Is a directory"), Kind::IsADirectory),
            (413, "File to upload is too large.".into(), Kind::TooLarge),
            (500, tool("bash: -c: line 1: unexpected EOF while looking for matching `''"), Kind::InvalidArgument),
            (404, tool("base64: /home/fireuser/probe/nope: No such file or directory"), Kind::NotFound),
            (500, tool("base64: read error: Is a directory"), Kind::IsADirectory),
            (413, "Command output exceeded buffer limit.".into(), Kind::TooLarge),
            (500, "('Channel not open for sending',)".into(), Kind::TooLarge),
            (400, "`size` value must be less than 5242880 bytes".into(), Kind::InvalidArgument),
            (404, tool("dd: failed to open '/home/fireuser/probe/nope': No such file or directory"), Kind::NotFound),
            (
                500,
                tool("dd: error reading '/p': Is a directory\n0+0 records in\n0+0 records out\n0 bytes copied, 5.2989e-05 s, 0.0 kB/s"),
                Kind::IsADirectory,
            ),
            (500, tool("sha256sum: /home/fireuser/probe: Is a directory"), Kind::IsADirectory),
            (500, tool("chmod: invalid mode: '9999'\nTry 'chmod --help' for more information."), Kind::InvalidArgument),
            (403, tool("chmod: changing permissions of '/home/firesrv': Operation not permitted"), Kind::PermissionDenied),
            (403, tool("chown: changing ownership of '/home/fireuser/probe/a.txt': Operation not permitted"), Kind::PermissionDenied),
            (400, tool("ln: failed to create symbolic link '/home/fireuser/probe/link': File exists"), Kind::AlreadyExists),
            (
                404,
                tool("tar: nope: Cannot stat: No such file or directory\ntar: Exiting with failure status due to previous errors"),
                Kind::NotFound,
            ),
            (
                404,
                tool("tar: /home/nodir: Cannot open: No such file or directory\ntar: Error is not recoverable: exiting now"),
                Kind::NotFound,
            ),
            (
                500,
                tool("gzip: stdin: not in gzip format\ntar: Child returned status 1\ntar: Error is not recoverable: exiting now"),
                Kind::InvalidArgument,
            ),
            (404, tool("rm: cannot remove '/home/fireuser/probe/nope': No such file or directory"), Kind::NotFound),
            (403, tool("rm: cannot remove '/home/firesrv/.bashrc': Permission denied"), Kind::PermissionDenied),
            (401, "Not authenticated".into(), Kind::Unauthenticated),
            (401, "Access token is invalid.".into(), Kind::Unauthenticated),
            (401, "Access token expires too soon (less than 30s remaining).".into(), Kind::Unauthenticated),
            (500, "('No SSH credentials found for user:nosuchuser',)".into(), Kind::PermissionDenied),
            (404, "System not found".into(), Kind::NotFound),
            (404, "Not Found".into(), Kind::Unavailable),
            (405, "Method Not Allowed".into(), Kind::Other),
            (404, "Job not found.".into(), Kind::NotFound),
            (
                500,
                slurm("scancel: Terminating job 99999999\nscancel: error: Kill job error on job id 99999999: Invalid job id specified\n"),
                Kind::NotFound,
            ),
            (500, slurm("scancel: error: Invalid job id abc\n"), Kind::InvalidArgument),
            (500, slurm("sbatch: error: Unable to open file /home/fireuser/probe/nope.sh\n"), Kind::NotFound),
            (
                500,
                slurm("sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed: Invalid partition name specified\n"),
                Kind::InvalidArgument,
            ),
            (500, slurm("sbatch: error: This does not look like a batch script.  The first\nsbatch: error: line must start with #!"), Kind::InvalidArgument),
            (500, "(\"'list' object has no attribute 'items'\",)".into(), Kind::Other),
            (400, "Requested transfer method is not available.".into(), Kind::Unsupported),
            (500, "(\"unsupported operand type(s) for /: 'NoneType' and 'int'\",)".into(), Kind::Other),
            (400, "Account parameter is required on this system.".into(), Kind::InvalidArgument),
            (503, "The scheduler service for the requested system (X) is unhealthy.".into(), Kind::Unavailable),
            (501, "Scheduler can't handle this request when configured to use rest connection mode".into(), Kind::Unsupported),
            (403, "Target file '/home/fireuser/st.bin' already exists.".into(), Kind::AlreadyExists),
        ];
        for (status, message, expected) in cases {
            for effect in [Effect::Read, Effect::Write] {
                assert_eq!(kind(status, &message, effect), expected, "{status} {message}");
            }
        }
        let killed = "Command execution timeout limit exceeded.";
        assert_eq!(kind(408, killed, Effect::Read), Kind::Timeout);
        assert_eq!(kind(408, killed, Effect::Write), Kind::OutcomeUnknown);
    }

    #[test]
    fn validation_is_told_by_its_fields() {
        let body = r#"{"errorType":"validation","message":"1 validation error:\n {'type': 'string_pattern_mismatch'}","causedBy":null,
            "data":{"fields":[{"location":"path","name":"job_id","message":"String should match pattern '^[a-zA-Z0-9]+$'"}]},"user":"u"}"#;
        let error = classify(400, &[], body.as_bytes(), Effect::Read, "12_3", 0);
        assert_eq!(error.kind, Kind::InvalidArgument);
        assert_eq!(error.info.message, "12_3: job_id: String should match pattern '^[a-zA-Z0-9]+$'");
    }

    #[test]
    fn slurms_words_behind_an_error_count() {
        let body = r#"{"errorType":"error","message":"Error executing Slurm command.",
            "causedBy":["Unexpected Slurm command response. exit_status:1 std_err:sacct: fatal: Bad job/step specified: abc\n"],"data":null,"user":"u"}"#;
        assert_eq!(classify(500, &[], body.as_bytes(), Effect::Read, "abc", 0).kind, Kind::InvalidArgument);
    }

    #[test]
    fn tars_first_complaint_counts() {
        let told = |text: &str| {
            kind(404, &format!("Remote process failed with exit status:2 and error message:{text}"), Effect::Write)
        };
        let closed = "tar: m: Cannot mkdir: Permission denied\ntar: m/a: Cannot open: No such file or directory\ntar: Exiting with failure status due to previous errors";
        assert_eq!(told(closed), Kind::PermissionDenied);
        assert_eq!(
            told("tar: rod/sub/f: Cannot open: File exists\ntar: Exiting with failure status"),
            Kind::PermissionDenied
        );
        assert_eq!(
            told(
                "tar: /s/none.tar: Cannot open: No such file or directory\ntar: Error is not recoverable: exiting now"
            ),
            Kind::NotFound
        );
    }

    #[test]
    fn a_name_does_not_choose_the_kind() {
        let message = "Remote process failed with exit status:1 and error message:rm: cannot remove '/h/No such file or directory': Permission denied";
        assert_eq!(kind(404, message, Effect::Write), Kind::PermissionDenied);
    }

    #[test]
    fn gateways() {
        for (status, effect, expected) in [
            (502, Effect::Read, Kind::Unavailable),
            (502, Effect::Write, Kind::OutcomeUnknown),
            (504, Effect::Read, Kind::Timeout),
            (429, Effect::Write, Kind::RateLimited),
            (403, Effect::Read, Kind::PermissionDenied),
            (404, Effect::Read, Kind::Unavailable),
        ] {
            assert_eq!(classify(status, &[], b"<html>nginx</html>", effect, "/p", 0).kind, expected, "{status}");
        }
    }

    #[test]
    fn pauses() {
        let after = |name: &str, value: &str| retry_after(&[(name.into(), value.into())], 784_111_770);
        assert_eq!(after("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(after("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(after("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("ratelimit-reset", "30"), Some(Duration::from_secs(30)));
        assert_eq!(after("ratelimit", "\"default\";r=0;t=9"), Some(Duration::from_secs(9)));
        assert_eq!(after("ratelimit", "limit=100, remaining=0, reset=9"), Some(Duration::from_secs(9)));
        assert_eq!(after("retry-after", "-3"), None);
        assert_eq!(after("retry-after", "soon"), None);
        // A clock that is an hour behind the server's: its own date counts.
        let skewed = [
            ("retry-after".to_owned(), "Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
            ("date".to_owned(), "Sun, 06 Nov 1994 08:49:32 GMT".to_owned()),
        ];
        assert_eq!(retry_after(&skewed, 784_108_170), Some(Duration::from_secs(5)));
        let unix = [("x-ratelimit-reset".to_owned(), "1795503105".to_owned())];
        assert_eq!(retry_after(&unix, 1_795_503_097), Some(Duration::from_secs(8)));
    }
}
