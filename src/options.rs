//! The plugin's options: what they are called, how to ask for them, and what they must look like.
//!
//! Names, order, prompts and defaults are aiida-firecrest's (1.0.0, `transport.py`), so that its configuration files work
//! unchanged; what it does not have comes after. Values arrive as text and leave as types: the inside never checks again.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::http::Url;
use crate::number::millionths;
use crate::remote::RemotePath;
use crate::secret::Secret;

/// How an option's text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OptionKind {
    Text,
    Secret,
    Integer,
    Number,
    Flag,
}

/// One option, as `configuration.options` tells it.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Description {
    pub name: &'static str,
    pub kind: OptionKind,
    pub prompt: &'static str,
    pub help: &'static str,
    pub default: Option<&'static str>,
    pub required: bool,
}

const fn option(
    name: &'static str,
    kind: OptionKind,
    prompt: &'static str,
    help: &'static str,
    default: Option<&'static str>,
    required: bool,
) -> Description {
    Description { name, kind, prompt, help, default, required }
}

/// Every option, in the order in which a person is asked.
pub const DESCRIPTIONS: &[Description] = &[
    option("url", OptionKind::Text, "Server URL", "URL to the FirecREST server.", None, true),
    option(
        "token_uri",
        OptionKind::Text,
        "Token URI",
        "URI for retrieving FirecREST authentication tokens. Not needed with access_token.",
        None,
        false,
    ),
    option(
        "client_id",
        OptionKind::Text,
        "Client ID",
        "FirecREST client ID. Not needed with access_token.",
        None,
        false,
    ),
    option(
        "client_secret",
        OptionKind::Secret,
        "Client Secret",
        "FirecREST client secret. Hosts also take the absolute path of a file that holds it. Not needed with access_token.",
        None,
        false,
    ),
    option(
        "compute_resource",
        OptionKind::Text,
        "Compute resource (Machine)",
        "Name of the system, for example 'daint' or 'eiger'.",
        None,
        true,
    ),
    option(
        "billing_account",
        OptionKind::Text,
        "Billing account for time consuming operations",
        "Operations longer than 5 seconds run as jobs, which some systems bill to an account.",
        None,
        false,
    ),
    option(
        "temp_directory",
        OptionKind::Text,
        "Temp directory on server",
        "A directory on the server for temporary files (compression, extraction, etc.).",
        None,
        false,
    ),
    option(
        "max_io_allowed",
        OptionKind::Integer,
        "Maximum number of concurrent I/O operations",
        "How many requests one session has under way at most.",
        Some("8"),
        false,
    ),
    option(
        "checksum_check",
        OptionKind::Flag,
        "Whether to validate checksum for each file transferred",
        "Compare SHA-256 checksums after each transfer: one request more for each file. Not given: for files past the direct limit.",
        Some("false"),
        false,
    ),
    option(
        "api_version",
        OptionKind::Text,
        "FirecREST api version [Enter 0 to get this info from server]",
        "Version of the server, for example 2.5.7; 0 asks the server.",
        Some("0"),
        false,
    ),
    option(
        "small_file_size_mb",
        OptionKind::Number,
        "Maximum file size for direct transfer (MB) [Enter 0 to get this info from server]",
        "Below this size a file is sent in a single request (MB of 1024 × 1024 bytes); 0 asks the server. Never above the server's own limit.",
        Some("0"),
        false,
    ),
    option(
        "access_token",
        OptionKind::Secret,
        "Access token",
        "A token that the host has got itself, in place of client credentials. It is not renewed.",
        None,
        false,
    ),
    option(
        "token_auth_method",
        OptionKind::Text,
        "How the client authenticates at the token URI",
        "client_secret_post (in the form) or client_secret_basic (in a header).",
        Some("client_secret_post"),
        false,
    ),
    option(
        "requests_per_minute",
        OptionKind::Integer,
        "Requests a minute [Enter 0 for no limit]",
        "No more than this is sent, by all sessions of a host that shares it; 0: no limit.",
        Some("0"),
        false,
    ),
    option(
        "request_timeout_s",
        OptionKind::Number,
        "Seconds to wait for an answer",
        "How long the server may take to answer one request.",
        Some("120"),
        false,
    ),
];

/// What `request_timeout_s` may be.
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);

/// How the client shows its secret to the token server (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenAuthMethod {
    /// In the form.
    Post,
    /// In the `authorization` header.
    Basic,
}

/// Where tokens come from.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// The host has one.
    AccessToken(Secret),
    /// OAuth 2.0 client credentials.
    Client {
        /// The token server.
        token_uri: Url,
        /// Who we are there.
        client_id: String,
        /// How we prove it.
        client_secret: Secret,
        /// How that is sent.
        method: TokenAuthMethod,
    },
}

/// A server's version, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2 for all that is known here.
    pub major: u32,
    /// None on development builds ("2.x.x").
    pub minor: Option<u32>,
    /// None on development builds, or where it was left out.
    pub patch: Option<u32>,
}

impl Version {
    /// Reads "2.5.7", "2.x.x", "v2", "2.6.0-rc1".
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches(['v', 'V']);
        let mut parts = text.split(['.', '-', '+']);
        let major = parts.next()?.parse().ok()?;
        let number = |part: Option<&str>| part.and_then(|p| p.parse().ok());
        let (minor, patch) = (number(parts.next()), number(parts.next()));
        Some(Self { major, minor, patch })
    }

    /// Do we know how to talk to it? aiida-firecrest's oldest is 2.2.8; the paths and bodies used here are those of 2.x since then.
    pub fn known(self) -> bool {
        self.major == 2
            && self.minor.is_none_or(|minor| minor > 2 || (minor == 2 && self.patch.is_none_or(|patch| patch >= 8)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |p: Option<u32>| p.map_or("x".to_owned(), |p| p.to_string());
        write!(f, "{}.{}.{}", self.major, part(self.minor), part(self.patch))
    }
}

/// All options, read and checked.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server, with any path prefix.
    pub url: Url,
    /// Where tokens come from.
    pub credentials: Credentials,
    /// The system.
    pub compute_resource: String,
    /// Billed for jobs.
    pub billing_account: Option<String>,
    /// For temporary files on the cluster.
    pub temp_directory: Option<RemotePath>,
    /// Requests under way at most; at least 1.
    pub max_io_allowed: usize,
    /// Compare checksums after transfers. None: only of files past the direct limit.
    pub checksum_check: Option<bool>,
    /// None: ask the server.
    pub api_version: Option<Version>,
    /// Bytes; none: ask the server.
    pub small_file_size: Option<u64>,
    /// Zero: no limit.
    pub requests_per_minute: u32,
    /// To the first byte of an answer.
    pub request_timeout: Duration,
}

/// Name and value pairs, with the question which were given at all.
struct Given<'a>(&'a [(String, String)]);

impl Given<'_> {
    /// The last value of that name that is not empty; else the option's default.
    fn get(&self, name: &str) -> Option<&str> {
        let given = self.0.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.trim()).filter(|v| !v.is_empty());
        given.or_else(|| DESCRIPTIONS.iter().find(|d| d.name == name).and_then(|d| d.default))
    }

    /// Was it given, and not merely taken from the defaults?
    fn explicit(&self, name: &str) -> bool {
        self.0.iter().any(|(n, value)| n == name && !value.trim().is_empty())
    }

    fn required(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| Error::invalid(name, format!("the option {name} is missing")))
    }

    fn parsed<T>(&self, name: &str, parse: impl FnOnce(&str) -> Option<T>, expected: &str) -> Result<T> {
        let value = self.required(name)?;
        parse(value).ok_or_else(|| malformed(name, value, expected))
    }
}

/// An option's value may be shown, a secret never gets here.
fn malformed(name: &str, value: &str, expected: &str) -> Error {
    Error::invalid(name, format!("the option {name} is malformed: '{value}' is not {expected}"))
}

fn url(name: &str, value: &str) -> Result<Url> {
    Url::parse(value).map_err(|why| Error::invalid(name, format!("the option {name} is malformed: {why}")))
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}

impl Options {
    /// Reads and checks. The first fault found names its option; unknown names are ignored.
    pub fn read(values: &[(String, String)]) -> Result<Self> {
        let given = Given(values);
        let url_option = url("url", given.required("url")?)?;
        let credentials = Self::credentials(&given)?;
        let compute_resource = given.required("compute_resource")?.to_owned();
        if compute_resource.contains('/') {
            return Err(malformed("compute_resource", &compute_resource, "the name of a system"));
        }
        let temp_directory = given
            .get("temp_directory")
            .map(|text| {
                RemotePath::parse(text).map_err(|e| {
                    Error::invalid(
                        "temp_directory",
                        format!("the option temp_directory is malformed: {}", e.info.message),
                    )
                })
            })
            .transpose()?;
        let api_version = match given.required("api_version")? {
            "0" | "0.0" | "0.0.0" => None,
            text => {
                let version = Version::parse(text).ok_or_else(|| malformed("api_version", text, "a version or 0"))?;
                if !version.known() {
                    return Err(unknown_version("api_version", text));
                }
                Some(version)
            }
        };
        let small = given.parsed("small_file_size_mb", millionths, "a number, 0 or more")?;
        let timeout = given.parsed(
            "request_timeout_s",
            |text| millionths(text).map(Duration::from_micros).filter(|limit| TIMEOUTS.contains(limit)),
            "between 0.001 and 86400 seconds",
        )?;
        Ok(Self {
            url: url_option,
            credentials,
            compute_resource,
            billing_account: given.get("billing_account").map(str::to_owned),
            temp_directory,
            max_io_allowed: given.parsed(
                "max_io_allowed",
                |t| t.parse().ok().filter(|n| (1..=1000).contains(n)),
                "a whole number from 1 to 1000",
            )?,
            checksum_check: match given.parsed("checksum_check", flag, "true or false")? {
                false if !given.explicit("checksum_check") => None,
                check => Some(check),
            },
            api_version,
            small_file_size: (small > 0).then_some((u128::from(small) * (1 << 20) / 1_000_000) as u64),
            requests_per_minute: given.parsed(
                "requests_per_minute",
                |t| t.parse().ok(),
                "a whole number, 0 or more",
            )?,
            request_timeout: timeout,
        })
    }

    fn credentials(given: &Given<'_>) -> Result<Credentials> {
        if let Some(token) = given.get("access_token") {
            return Ok(Credentials::AccessToken(Secret::new(token)));
        }
        let method = given.required("token_auth_method")?;
        Ok(Credentials::Client {
            token_uri: url("token_uri", given.required("token_uri")?)?,
            client_id: given.required("client_id")?.to_owned(),
            client_secret: Secret::new(given.required("client_secret")?),
            method: match method {
                "client_secret_post" => TokenAuthMethod::Post,
                "client_secret_basic" => TokenAuthMethod::Basic,
                other => {
                    return Err(malformed("token_auth_method", other, "client_secret_post or client_secret_basic"));
                }
            },
        })
    }
}

/// The refusal of a server that is too old or too new. `subject`: where the version was read.
pub fn unknown_version(subject: &str, version: &str) -> Error {
    Error::invalid(
        subject,
        format!("FirecREST {version} is not supported: this plugin knows 2.2.8 and newer versions of 2"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let base = [
            ("url", "https://api.example.org/v2"),
            ("token_uri", "https://auth.example.org/token"),
            ("client_id", "me"),
            ("client_secret", "hunter2"),
            ("compute_resource", "daint"),
        ];
        base.iter().chain(pairs).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn defaults_are_those_of_aiida_firecrest() {
        let options = Options::read(&values(&[("workdir", "/scratch/me"), ("username", "me")])).unwrap();
        assert_eq!(options.max_io_allowed, 8);
        assert_eq!(options.checksum_check, None);
        assert_eq!(options.api_version, None);
        assert_eq!(options.small_file_size, None);
        assert_eq!(options.requests_per_minute, 0);
        assert!(!format!("{options:?}").contains("hunter2"));
    }

    #[test]
    fn each_fault_names_its_option() {
        for (name, value) in [
            ("url", "api.example.org"),
            ("token_uri", "nowhere"),
            ("max_io_allowed", "0"),
            ("max_io_allowed", "many"),
            ("checksum_check", "perhaps"),
            ("api_version", "new"),
            ("api_version", "1.16.0"),
            ("api_version", "3.0.0"),
            ("small_file_size_mb", "-1"),
            ("small_file_size_mb", "NaN"),
            ("requests_per_minute", "-5"),
            ("request_timeout_s", "0"),
            ("token_auth_method", "magic"),
            ("temp_directory", "scratch"),
            ("compute_resource", "a/b"),
        ] {
            let error = Options::read(&values(&[(name, value)])).unwrap_err();
            assert_eq!(error.info.subject.as_deref(), Some(name), "{error}");
            assert!(error.info.message.contains(name) || error.info.message.contains("2.2.8"), "{error}");
        }
        for name in ["url", "token_uri", "client_id", "client_secret", "compute_resource"] {
            let error = Options::read(&values(&[(name, " ")])).unwrap_err();
            assert_eq!(error.info.message, format!("the option {name} is missing"));
        }
    }

    #[test]
    fn a_token_stands_in_for_client_credentials() {
        let given = [("url", "http://x"), ("compute_resource", "s"), ("access_token", "t")];
        let given: Vec<_> = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert!(matches!(Options::read(&given).unwrap().credentials, Credentials::AccessToken(_)));
    }

    #[test]
    fn versions() {
        for (text, known) in [
            ("2.5.7", true),
            ("2.x.x", true),
            ("2.2.8", true),
            ("2.6.0-rc1", true),
            ("v2", true),
            ("2.2.7", false),
            ("2.1.9", false),
            ("1.16.0", false),
            ("3.0.0", false),
        ] {
            assert_eq!(Version::parse(text).unwrap().known(), known, "{text}");
        }
        assert_eq!(Version::parse("x.y"), None);
    }
}
