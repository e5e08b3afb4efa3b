//! What is printed, and where: answers on stdout, everything else on stderr, nothing ever with a panic.

use aiida_firecrest_host::{Error, types};
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library's error.
    Error(Error),
    /// A result is not what it should be; one sentence.
    Wrong(String),
    /// The answer is printed already, and this is what is wrong with it: one line, and the exit code.
    Answered { line: String, code: u8 },
    /// A command on the cluster ended with this exit code; there is nothing to add.
    Status(u8),
    /// The reader of stdout has gone.
    BrokenPipe,
    /// Ctrl-C.
    Cancelled,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error)
    }
}

impl Failure {
    /// A failure of the contract's kinds that this program finds itself.
    pub(crate) fn found(kind: types::ErrorKind, subject: &str, message: impl Into<String>) -> Failure {
        let error = types::Error {
            kind,
            message: message.into(),
            subject: Some(subject.to_owned()),
            http_status: None,
            server_message: None,
            request_id: None,
            retry_after_ms: None,
        };
        Failure::Error(Error::Plugin { error: Box::new(error), network: None })
    }

    /// A folder where `-r` was not given.
    pub(crate) fn needs_recursive(path: &str) -> Failure {
        Failure::found(types::ErrorKind::IsADirectory, path, "is a directory: -r takes it with all that is in it")
    }

    pub(crate) fn usage(subject: &str, reason: impl Into<String>) -> Failure {
        Failure::Error(Error::Options { subject: subject.into(), reason: reason.into() })
    }

    fn exit_code(&self) -> u8 {
        match self {
            Failure::Error(error) => error.exit_code(),
            Failure::Wrong(_) => 12,
            Failure::Answered { code, .. } | Failure::Status(code) => *code,
            // What a shell reports for a program that SIGPIPE ended.
            Failure::BrokenPipe => 141,
            Failure::Cancelled => 130,
        }
    }

    fn describe(&self) -> (String, Value) {
        match self {
            Failure::Error(error) => {
                let message = error.to_string();
                let mut document = json!({"kind": error.kind(), "message": message, "exit_code": error.exit_code()});
                if let Some(error) = error.plugin() {
                    document["subject"] = json!(error.subject);
                    document["http_status"] = json!(error.http_status);
                    document["server_message"] = json!(error.server_message);
                    document["request_id"] = json!(error.request_id);
                    document["retry_after_ms"] = json!(error.retry_after_ms);
                }
                (message, document)
            }
            Failure::Wrong(message) => {
                (message.clone(), json!({"kind": "wrong-result", "message": message, "exit_code": 12}))
            }
            Failure::Answered { line, .. } => (line.clone(), Value::Null),
            Failure::BrokenPipe | Failure::Status(_) => (String::new(), Value::Null),
            Failure::Cancelled => {
                ("cancelled".into(), json!({"kind": "cancelled", "message": "cancelled", "exit_code": 130}))
            }
        }
    }
}

/// Standard output, as a person or a program wants it.
#[derive(Clone)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Output {
        Output { json }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Is there a person to show a moving bar to?
    pub(crate) fn is_interactive(&self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// Prints a failure and gives its exit code.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        if !matches!(failure, Failure::BrokenPipe | Failure::Status(_)) {
            let (line, document) = failure.describe();
            remark(format!("aiida-firecrest: {line}"));
            if self.json && !document.is_null() {
                let _ = self.document(&json!({"error": document}));
            }
        }
        ExitCode::from(failure.exit_code())
    }

    /// Prints one line.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        self.bytes(format!("{}\n", text.as_ref()).as_bytes())
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(stdout_failed)
    }

    /// Prints the program's one JSON document.
    pub(crate) fn document(&self, value: &Value) -> Result<(), Failure> {
        self.line(format!("{value:#}"))
    }

    /// Prints `document` for programs, what `lines` gives for people.
    pub(crate) fn answer(
        &self,
        document: impl FnOnce() -> Value,
        lines: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            return self.document(&document());
        }
        let text = lines();
        if text.is_empty() { Ok(()) } else { self.line(text) }
    }
}

pub(crate) fn stdout_failed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
        _ => Failure::Error(Error::io("standard output", error)),
    }
}

/// A remark for a person, on stderr. A stderr that is closed is no reason to stop.
pub(crate) fn remark(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "{}", text.as_ref());
}

/// A table without borders: columns apart, numbers to the right.
pub(crate) fn table(header: &[&str], numbers: &[usize], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if !header.is_empty() {
        table.set_header(header);
    }
    for row in rows {
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A name as one can print it: control characters would move the cursor or forge a line, and those that turn the direction of text
/// (Unicode Standard Annex 9) would show another name.
pub(crate) fn shown(name: &str) -> String {
    let turns =
        |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let harmful = |c: char| c.is_control() || turns(c);
    name.chars().flat_map(|c| if harmful(c) { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// Bytes for a person.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Seconds as Slurm writes them: `[days-]HH:MM:SS`.
pub(crate) fn clock(seconds: u64) -> String {
    let (days, hours, minutes, seconds) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let time = format!("{hours:02}:{minutes:02}:{seconds:02}");
    if days == 0 { time } else { format!("{days}-{time}") }
}

/// `drwxr-x---`, as ls(1) writes it.
pub(crate) fn mode(kind: types::FileKind, permissions: u32) -> String {
    use types::FileKind as K;
    let first = match kind {
        K::Regular => '-',
        K::Directory => 'd',
        K::Symlink => 'l',
        K::BlockDevice => 'b',
        K::CharacterDevice => 'c',
        K::Fifo => 'p',
        K::Socket => 's',
        K::Unknown => '?',
    };
    let mut text = String::from(first);
    for (shift, special, set, unset) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = permissions >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (permissions & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => set,
            (true, false) => unset,
        });
    }
    text
}

/// Seconds since 1970 as `YYYY-MM-DD HH:MM:SSZ`, in UTC.
pub(crate) fn time(unix: i64) -> String {
    // Howard Hinnant's civil_from_days.
    let (days, seconds) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [bytes(0), bytes(999), bytes(1000), bytes(1_048_576), bytes(999_960)],
            ["0 B", "999 B", "1.0 kB", "1.0 MB", "1.0 MB"]
        );
        assert_eq!([clock(0), clock(3661), clock(90_061)], ["00:00:00", "01:01:01", "1-01:01:01"]);
        assert_eq!(
            [time(0), time(951_782_400), time(1_767_225_599), time(-1)],
            ["1970-01-01 00:00:00Z", "2000-02-29 00:00:00Z", "2025-12-31 23:59:59Z", "1969-12-31 23:59:59Z"]
        );
    }

    #[test]
    fn modes_are_written_as_ls_does() {
        use types::FileKind as K;
        assert_eq!(mode(K::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(mode(K::Regular, 0o4750), "-rwsr-x---");
        assert_eq!(mode(K::Symlink, 0o2604), "lrw---Sr--");
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(shown("a\nb\u{1b}[2Jé"), "a\\nb\\u{1b}[2Jé");
        assert_eq!(shown("exe.\u{202e}txt"), "exe.\\u{202e}txt");
    }
}
