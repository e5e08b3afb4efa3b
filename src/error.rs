//! The one error of every operation. Its kind says what the caller can do; it is the WIT enum `aiida:hpc/types.error-kind`.
//!
//! An error is typed where it is born and stays so. Nothing in it may hold a secret or a token.

use std::fmt;

/// What a caller can do about a failure. One for each case of the WIT enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The path, job or system is not there.
    NotFound,
    /// Something is already there.
    AlreadyExists,
    /// A directory was needed.
    NotADirectory,
    /// A file was needed.
    IsADirectory,
    /// The directory has entries.
    NotEmpty,
    /// Not with these rights.
    PermissionDenied,
    /// Credentials are wrong or have expired.
    Unauthenticated,
    /// An argument is not acceptable; nothing was changed.
    InvalidArgument,
    /// Past a size limit.
    TooLarge,
    /// Too many requests.
    RateLimited,
    /// A time limit ran out.
    Timeout,
    /// May succeed later.
    Unavailable,
    /// The wrong bytes arrived.
    ChecksumMismatch,
    /// A write whose answer was lost.
    OutcomeUnknown,
    /// The host said stop.
    Cancelled,
    /// Not done here.
    Unsupported,
    /// Everything else.
    Other,
}

/// What is known beside the kind. See the WIT record `error` for each field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// For a person.
    pub message: String,
    /// The path, job id, option or operation.
    pub subject: Option<String>,
    /// HTTP status.
    pub http_status: Option<u16>,
    /// The server's own text.
    pub server_message: Option<String>,
    /// `x-request-id`.
    pub request_id: Option<String>,
    /// Milliseconds.
    pub retry_after_ms: Option<u64>,
    /// A time limit ran out, here or in a gateway: the server may still act on the request.
    pub still_on_its_way: bool,
}

/// A failure: its kind and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What the caller can do.
    pub kind: Kind,
    /// Boxed, so that a `Result` stays small.
    pub info: Box<Info>,
}

/// The result of nearly everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure with a message for a person.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, info: Box::new(Info { message: message.into(), ..Info::default() }) }
    }

    /// An operation that this version does not do.
    pub fn unsupported(operation: &str) -> Self {
        Self::new(Kind::Unsupported, format!("{operation} is not supported yet")).about(operation)
    }

    /// An argument or option that is not acceptable.
    pub fn invalid(subject: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidArgument, message).about(subject)
    }

    /// Does the server's own text hold these words?
    pub fn server_said(&self, words: &str) -> bool {
        self.info.server_message.as_deref().is_some_and(|text| text.contains(words))
    }

    /// Names what the failure is about.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.info.subject = Some(subject.into());
        self
    }

    /// Says what to look at, where it is not known what became of a change.
    #[must_use]
    pub fn to_check(mut self, subject: &str) -> Self {
        if self.kind == Kind::OutcomeUnknown {
            self.info.message = format!("{}; check {subject} before it is tried again", self.info.message);
        }
        self
    }

    /// The same failure, of another kind.
    #[must_use]
    pub fn as_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.info.message)
    }
}

impl std::error::Error for Error {}
