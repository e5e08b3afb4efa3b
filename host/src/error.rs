//! Every way in which this library fails, and the exit codes of the command line.
//!
//! | exit code | meaning                                                                                  |
//! |-----------|------------------------------------------------------------------------------------------|
//! | 0         | done                                                                                     |
//! | 1         | anything that has no code of its own                                                     |
//! | 2         | usage: an unknown flag, a malformed configuration file, an option that does not exist    |
//! | 3         | not found                                                                                |
//! | 4         | something is already there, or in the way (not a directory, is a directory, not empty)   |
//! | 5         | permission denied, by the cluster or by the policy                                       |
//! | 6         | unauthenticated: credentials are wrong or have expired                                   |
//! | 7         | invalid argument, or too large                                                           |
//! | 8         | unavailable: nobody answers, or too many requests; the same call may succeed later       |
//! | 9         | a time limit ran out                                                                     |
//! | 10        | outcome unknown: look before trying again                                                |
//! | 11        | unsupported by this plugin or server                                                     |
//! | 12        | checksum mismatch, or a result that is not what it should be                             |
//! | 13        | the plugin: no component, another contract, trapped, out of memory                       |
//! | 130       | cancelled                                                                                |

use crate::plugin::LoadError;
use crate::types;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The result of every function of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something failed. No message holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The plugin did its work and says why it could not succeed.
    #[error("{}", shown(.error, .network.as_deref()))]
    Plugin {
        /// The contract's own error; its kind says what a caller can do.
        error: Box<types::Error>,
        /// What happened on the network during the call, where the last request of the call got no answer.
        network: Option<String>,
    },
    /// A plugin cannot be loaded.
    #[error("{0}")]
    Load(#[from] LoadError),
    /// The plugin trapped: it has a fault. The session is dead; others are not touched.
    #[error("the plugin failed: {detail}")]
    Trapped {
        /// What it wrote to its stderr, else the trap's name. At most 4 KiB.
        detail: String,
    },
    /// A call took longer than the policy allows. The session is dead.
    #[error("the call took longer than its limit of {limit:?} and was ended")]
    Deadline {
        /// The limit.
        limit: Duration,
    },
    /// The plugin wanted more memory than the policy allows. The session is dead.
    #[error("the plugin needs more memory than its limit of {} MiB", limit >> 20)]
    Memory {
        /// The limit in bytes.
        limit: usize,
    },
    /// This session ended earlier: by one of the three errors above, or because a call's future was dropped. Open another one.
    #[error("this session has ended ({reason}): open another one")]
    SessionEnded {
        /// What ended it.
        reason: String,
    },
    /// A policy that cannot be read.
    #[error("{}{reason}", quoted(.subject))]
    Policy {
        /// The text at fault; empty where it may hold a secret.
        subject: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A plugin's manifest.
    #[error("manifest {}: {reason}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// The key, and what is wrong with it.
        reason: String,
    },
    /// A plugin asks for what nobody granted it.
    #[error("plugin {name} asks for {}{asks}: `aiida-firecrest plugin grant {name}` grants it, --grant does for one run", if *before { "more than it was granted: " } else { "" })]
    NotGranted {
        /// The plugin.
        name: String,
        /// What it asks for and does not have.
        asks: String,
        /// Was it granted something else?
        before: bool,
    },
    /// A folder to be granted is not there, or is no folder.
    #[error("local folder {}: {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system says.
        reason: String,
        /// True: there is nothing of that name.
        missing: bool,
    },
    /// Options or their sources (configuration file, environment, flags) are malformed.
    #[error("{}{reason}", quoted(.subject))]
    Options {
        /// The file or the option's name.
        subject: String,
        /// What is wrong with it; never an option's value.
        reason: String,
    },
    /// A certificate file cannot be used.
    #[error("CA file {}: {reason}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A local file or stream.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        error: std::io::Error,
    },
    /// wasmtime itself could not be set up.
    #[error("wasmtime: {0}")]
    Runtime(String),
}

impl Error {
    pub(crate) fn policy(subject: impl fmt::Display, reason: impl Into<String>) -> Error {
        Error::Policy { subject: subject.to_string(), reason: reason.into() }
    }

    pub(crate) fn options(subject: impl fmt::Display, reason: impl Into<String>) -> Error {
        Error::Options { subject: subject.to_string(), reason: reason.into() }
    }

    /// An error of the operating system about a local path.
    pub fn io(path: impl AsRef<Path>, error: std::io::Error) -> Error {
        Error::Io { path: path.as_ref().to_owned(), error }
    }

    /// The plugin's own error, if this is one.
    #[must_use]
    pub fn plugin(&self) -> Option<&types::Error> {
        match self {
            Error::Plugin { error, .. } => Some(error),
            _ => None,
        }
    }

    /// The plugin's own error's kind, if this is one: what a program decides by.
    ///
    /// ```
    /// # use aiida_firecrest_host::{Error, types::ErrorKind};
    /// fn is_gone(error: &Error) -> bool {
    ///     error.plugin_kind() == Some(ErrorKind::NotFound)
    /// }
    /// ```
    #[must_use]
    pub fn plugin_kind(&self) -> Option<types::ErrorKind> {
        self.plugin().map(|error| error.kind)
    }

    /// A short name for programs, in the contract's words where the contract has one: `not-found`, `unavailable`, …, `usage`,
    /// `policy`, `manifest`, `not-granted`, `load`, `trapped`, `deadline`, `memory`, `session-ended`, `local-file`, `runtime`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Error::Plugin { error, .. } => error.kind.name(),
            Error::Load(_) => "load",
            Error::Trapped { .. } => "trapped",
            Error::Deadline { .. } => "deadline",
            Error::Memory { .. } => "memory",
            Error::SessionEnded { .. } => "session-ended",
            Error::Policy { .. } => "policy",
            Error::Manifest { .. } => "manifest",
            Error::NotGranted { .. } => "not-granted",
            Error::Options { .. } => "usage",
            Error::Folder { .. } | Error::Certificates { .. } | Error::Io { .. } => "local-file",
            Error::Runtime(_) => "runtime",
        }
    }

    /// The command line's exit code, see the [module](self).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        use types::ErrorKind as K;
        match self {
            Error::Plugin { error, .. } => match error.kind {
                K::NotFound => 3,
                K::AlreadyExists | K::NotADirectory | K::IsADirectory | K::NotEmpty => 4,
                K::PermissionDenied => 5,
                K::Unauthenticated => 6,
                K::InvalidArgument | K::TooLarge => 7,
                K::Unavailable | K::RateLimited => 8,
                K::Timeout => 9,
                K::OutcomeUnknown => 10,
                K::Unsupported => 11,
                K::ChecksumMismatch => 12,
                K::Cancelled => 130,
                K::Other => 1,
            },
            Error::Policy { .. } | Error::Options { .. } | Error::Manifest { .. } => 2,
            Error::NotGranted { .. } => 5,
            Error::Folder { missing, .. } => {
                if *missing {
                    3
                } else {
                    4
                }
            }
            Error::Certificates { .. } => 2,
            Error::Io { error, .. } => match error.kind() {
                std::io::ErrorKind::NotFound => 3,
                std::io::ErrorKind::AlreadyExists
                | std::io::ErrorKind::NotADirectory
                | std::io::ErrorKind::IsADirectory => 4,
                std::io::ErrorKind::PermissionDenied => 5,
                _ => 1,
            },
            Error::Deadline { .. } => 9,
            Error::Load(LoadError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => 3,
            Error::Load(LoadError::Unknown { .. }) => 3,
            Error::Load(_) | Error::Trapped { .. } | Error::Memory { .. } => 13,
            Error::SessionEnded { .. } | Error::Runtime(_) => 1,
        }
    }
}

fn quoted(subject: &str) -> String {
    if subject.is_empty() { String::new() } else { format!("{subject}: ") }
}

/// One line: the plugin's sentence, with the subject and the network's reason where it does not hold them already.
fn shown(error: &types::Error, network: Option<&str>) -> String {
    let mut text = if error.message.is_empty() { error.kind.name().replace('-', " ") } else { error.message.clone() };
    if let Some(subject) = error.subject.as_deref().filter(|subject| !subject.is_empty() && !text.contains(*subject)) {
        text = format!("{subject}: {text}");
    }
    let server = error.server_message.as_deref().map(str::trim).unwrap_or_default();
    // Often the one is the other, or a part of it.
    let subject = error.subject.as_deref().unwrap_or_default();
    let bare = error.message.trim_start_matches(subject).trim_start_matches(": ");
    // The plugin leaves out the server's preamble and joins lines: what counts is how the two end.
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<Vec<_>>();
    let (ours, theirs) = (letters(&text), letters(server));
    let ending = &theirs[theirs.len().saturating_sub(60)..];
    let told = text.contains(server) || (!bare.is_empty() && server.contains(bare)) || ours.ends_with(ending);
    if !told {
        text = format!("{text} (the server says: {server})");
    }
    // An origin that was refused is usually named by the plugin, too.
    let repeated =
        |network: &str| network.split(' ').next().is_some_and(|first| first.contains("://") && text.contains(first));
    if let Some(network) = network.filter(|network| !repeated(network)) {
        text = format!("{text} ({network})");
    }
    one_line(&text)
}

/// Control characters would let a server's text write over a terminal or forge a second line.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(2000).collect()
}

impl types::ErrorKind {
    /// Its name in the contract, for example `not-found`.
    #[must_use]
    pub fn name(self) -> &'static str {
        use types::ErrorKind as K;
        match self {
            K::NotFound => "not-found",
            K::AlreadyExists => "already-exists",
            K::NotADirectory => "not-a-directory",
            K::IsADirectory => "is-a-directory",
            K::NotEmpty => "not-empty",
            K::PermissionDenied => "permission-denied",
            K::Unauthenticated => "unauthenticated",
            K::InvalidArgument => "invalid-argument",
            K::TooLarge => "too-large",
            K::RateLimited => "rate-limited",
            K::Timeout => "timeout",
            K::Unavailable => "unavailable",
            K::ChecksumMismatch => "checksum-mismatch",
            K::OutcomeUnknown => "outcome-unknown",
            K::Cancelled => "cancelled",
            K::Unsupported => "unsupported",
            K::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: types::ErrorKind, message: &str, network: Option<&str>) -> Error {
        let error = types::Error {
            kind,
            message: message.into(),
            subject: Some("/a/b".into()),
            http_status: None,
            server_message: Some("ls: cannot\naccess\u{1b}[2J".into()),
            request_id: None,
            retry_after_ms: None,
        };
        Error::Plugin { error: Box::new(error), network: network.map(str::to_owned) }
    }

    #[test]
    fn an_error_is_one_line_that_names_its_subject_and_the_servers_words() {
        let gone = error(types::ErrorKind::NotFound, "no such file", None);
        assert_eq!(gone.to_string(), "/a/b: no such file (the server says: ls: cannot access[2J)");
        assert_eq!((gone.kind(), gone.exit_code()), ("not-found", 3));
        let joined = error(types::ErrorKind::NotFound, "/a/b: ls: cannot; access[2J", None);
        assert_eq!(joined.to_string(), "/a/b: ls: cannot; access[2J");
        let silent = error(types::ErrorKind::Unavailable, "cannot reach /a/b", Some("connection refused"));
        assert!(silent.to_string().ends_with("(connection refused)"), "{silent}");
    }

    #[test]
    fn exit_codes_are_those_of_the_table() {
        use types::ErrorKind as K;
        let code = |kind| error(kind, "", None).exit_code();
        assert_eq!((code(K::Unauthenticated), code(K::OutcomeUnknown), code(K::Cancelled)), (6, 10, 130));
        assert_eq!(Error::options("x", "y").exit_code(), 2);
        assert_eq!(Error::Trapped { detail: String::new() }.exit_code(), 13);
        assert_eq!(Error::Deadline { limit: Duration::from_secs(1) }.exit_code(), 9);
    }
}
