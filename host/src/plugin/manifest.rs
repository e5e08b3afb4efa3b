//! A plugin's manifest: what it asks for. It grants nothing; a person does, see [`GrantBook`](super::GrantBook).
//!
//! `X.toml` lies beside `X.wasm`:
//!
//! ```toml
//! name = "example"                              # as its file is called
//! wasi = ["http", "filesystem"]                 # what of WASI it works with; its imports may have no more
//! origins = ["https://api.example.org"]         # servers that it always goes to
//! origin-options = ["url", "token_uri"]         # options whose address it goes to
//!
//! [[folders]]
//! path = "/var/lib/example"                     # an absolute path
//! access = "read"                               # or "write", which includes reading
//! why = "its tables are there"
//!
//! [[folders]]
//! option = "folder"                             # or the option that names the folder
//! access = "write"
//!
//! [limits]
//! memory-mib = 64
//! deadline-seconds = 600
//! requests-per-minute = 60
//! ```
//!
//! Every key but `name` may be left out; others than these are errors. A limit above the host's own
//! ([`MOST_MEMORY`], [`MOST_TIME`]) is taken as that.

use crate::error::{Error, Result};
use crate::limits::{MANIFEST_SIZE, MOST_MEMORY, MOST_TIME};
use crate::policy::{Access, DEFAULT_DEADLINE, DEFAULT_MEMORY, Folder, Origin, Policy};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// What a plugin says of itself and asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// The plugin's name.
    pub name: String,
    /// What it asks for.
    pub asks: Asks,
}

/// What a plugin asks for, or was granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct Asks {
    /// What of WASI it works with.
    pub wasi: Vec<Feature>,
    /// Servers, as `scheme://host[:port]`.
    pub origins: Vec<String>,
    /// Options whose address it goes to.
    pub origin_options: Vec<String>,
    /// Folders, for all of a session.
    pub folders: Vec<FolderAsk>,
    /// What it wants of the machine.
    pub limits: LimitAsks,
}

/// A part of WASI that a plugin can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// Requests to the granted origins.
    Http,
    /// Files in the granted folders.
    Filesystem,
}

impl Feature {
    /// The package's name in WASI.
    #[must_use]
    pub fn package(self) -> &'static str {
        match self {
            Feature::Http => "wasi:http",
            Feature::Filesystem => "wasi:filesystem",
        }
    }
}

/// One folder: by its path, or by the option that names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FolderAsk {
    /// An absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// An option whose value is an absolute path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
    /// What for.
    pub access: Access,
    /// A few words for the person who grants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Limits. None: the policy's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct LimitAsks {
    /// Memory of an instance, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    /// Time of a call, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u64>,
    /// Requests that all its sessions make to one server in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
}

impl LimitAsks {
    /// Bytes of memory, within what the host gives at all.
    #[must_use]
    pub fn memory(&self) -> usize {
        let asked = self.memory_mib.map(|mib| usize::try_from(mib.saturating_mul(1 << 20)).unwrap_or(usize::MAX));
        asked.unwrap_or(DEFAULT_MEMORY).min(MOST_MEMORY)
    }

    /// A call's time, within what the host gives at all.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline_seconds.map_or(DEFAULT_DEADLINE, Duration::from_secs).min(MOST_TIME)
    }
}

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    name: String,
    #[serde(default)]
    wasi: Vec<Feature>,
    #[serde(default)]
    origins: Vec<String>,
    #[serde(default)]
    origin_options: Vec<String>,
    #[serde(default)]
    folders: Vec<FolderAsk>,
    #[serde(default)]
    limits: LimitAsks,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`Error::Manifest`] names the file and the key.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Manifest> {
        let path = path.as_ref();
        let failed = |reason: String| Error::Manifest { path: path.to_owned(), reason };
        let metadata = path.metadata().map_err(|error| failed(error.to_string()))?;
        if !metadata.is_file() {
            return Err(failed("is not a regular file".into()));
        }
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
        file.take(MANIFEST_SIZE + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => failed("is not UTF-8, so no TOML".into()),
            _ => failed(error.to_string()),
        })?;
        if text.len() as u64 > MANIFEST_SIZE {
            return Err(failed(format!("is larger than {MANIFEST_SIZE} bytes, which no manifest needs")));
        }
        Manifest::parse(&text).map_err(failed)
    }

    /// Parses a manifest's text. The error is a sentence that names the key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Manifest, String> {
        let document: Document = toml::from_str(text).map_err(|error| {
            let reason = crate::error::one_line(error.message());
            format!("{}{reason}", error.span().map_or_else(String::new, |span| place(text, &span)))
        })?;
        let Document { name, wasi, origins, origin_options, folders, limits } = document;
        if !is_name(&name) {
            return Err("name: lower-case letters, digits, '-' and '_', at most 64".into());
        }
        let mut asks = Asks { wasi, origins: Vec::new(), origin_options, folders, limits };
        for text in origins {
            let origin = Origin::parse(&text).map_err(|error| format!("origins: {error}"))?;
            asks.origins.push(origin.to_string());
        }
        asks.check()?;
        Ok(Manifest { name, asks })
    }
}

/// May a plugin be called so? The name is part of a file's name, and of sentences.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}

/// Line and key that a span begins at, as far as they can be told.
fn place(text: &str, span: &Range<usize>) -> String {
    let before = text.get(..span.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let begin = before.rfind('\n').map_or(0, |at| at + 1);
    let whole = text.get(begin..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    match whole.split_once('=') {
        Some((key, _)) => format!("line {line}, {}: ", crate::error::one_line(key.trim())),
        None => format!("line {line}: "),
    }
}

impl Asks {
    fn check(&self) -> Result<(), String> {
        if let Some(name) = self.origin_options.iter().find(|name| name.is_empty()) {
            return Err(format!("origin-options: {name:?} is no option's name"));
        }
        self.folders.iter().try_for_each(FolderAsk::check)?;
        let LimitAsks { memory_mib, deadline_seconds, requests_per_minute } = &self.limits;
        let numbers = [
            ("memory-mib", *memory_mib),
            ("deadline-seconds", *deadline_seconds),
            ("requests-per-minute", requests_per_minute.map(u64::from)),
        ];
        match numbers.iter().find(|(_, number)| *number == Some(0)) {
            Some((key, _)) => Err(format!("limits.{key}: 0 is no limit to work with")),
            None => Ok(()),
        }
    }

    /// Nothing at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Asks::default()
    }

    /// What of this is not in `granted`, in words; empty where all of it is.
    #[must_use]
    pub fn beyond(&self, granted: &Asks) -> Vec<String> {
        let mut beyond = Vec::new();
        beyond.extend(self.wasi.iter().filter(|f| !granted.wasi.contains(f)).map(|f| f.package().to_owned()));
        beyond.extend(self.origins.iter().filter(|o| !granted.origins.contains(o)).cloned());
        let options = self.origin_options.iter().filter(|name| !granted.origin_options.contains(name));
        beyond.extend(options.map(|name| format!("the server that the option {name} names")));
        beyond
            .extend(self.folders.iter().filter(|folder| !folder.is_within(&granted.folders)).map(ToString::to_string));
        if self.limits.memory() > granted.limits.memory() {
            beyond.push(format!("{} MiB of memory", self.limits.memory() >> 20));
        }
        if self.limits.deadline() > granted.limits.deadline() {
            beyond.push(format!("{} s for a call", self.limits.deadline().as_secs()));
        }
        let pace = |asks: &Asks| asks.limits.requests_per_minute.unwrap_or(u32::MAX);
        if pace(self) > pace(granted) {
            beyond.push("more requests a minute".into());
        }
        beyond
    }

    /// The policy that is these asks and no more.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let origins = self.origins.iter().filter_map(|text| Origin::parse(text).ok());
        let mut policy = Policy::only(origins).memory(self.limits.memory()).deadline(self.limits.deadline());
        for name in &self.origin_options {
            policy = policy.origin_option(name);
        }
        for folder in &self.folders {
            policy = match (&folder.path, &folder.option) {
                (Some(path), _) => policy.own_folder(Folder { path: path.clone(), access: folder.access }),
                (None, Some(option)) => policy.folder_option(option, folder.access),
                (None, None) => policy,
            };
        }
        match self.limits.requests_per_minute {
            Some(number) => policy.requests_per_minute(number),
            None => policy,
        }
    }
}

/// In words, for a person: one sentence without its end.
impl fmt::Display for Asks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.beyond(&Asks::default());
        if words.is_empty() {
            words.push("nothing".into());
        }
        f.write_str(&words.join(", "))
    }
}

impl FolderAsk {
    fn check(&self) -> Result<(), String> {
        match (&self.path, &self.option) {
            (Some(path), None) => {
                let plain = path.components().all(|part| !matches!(part, Component::ParentDir | Component::Prefix(_)));
                if !path.is_absolute() {
                    return Err(format!("folders.path: {} is not absolute", path.display()));
                }
                if !plain || path.as_os_str().as_encoded_bytes().contains(&0) {
                    return Err(format!(
                        "folders.path: {} holds '..'",
                        crate::error::one_line(&path.display().to_string())
                    ));
                }
                if path.parent().is_none() {
                    return Err("folders.path: / is the whole machine, and no folder to ask for".into());
                }
                Ok(())
            }
            (None, Some(option)) if !option.is_empty() => Ok(()),
            _ => Err("folders: each has either a path or the option that names it".into()),
        }
    }

    fn is_within(&self, granted: &[FolderAsk]) -> bool {
        let same = |other: &&FolderAsk| self.path == other.path && self.option == other.option;
        granted.iter().filter(same).any(|other| self.access <= other.access)
    }
}

impl fmt::Display for FolderAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = if self.access == Access::Write { "read and write" } else { "read" };
        match (&self.path, &self.option) {
            (Some(path), _) => write!(f, "{access} {}", crate::error::one_line(&path.display().to_string())),
            (None, option) => {
                write!(f, "{access} the folder that the option {} names", option.as_deref().unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        Manifest::parse(text).expect_err(text)
    }

    #[test]
    fn all_that_is_asked_for_becomes_a_policy() {
        let manifest = Manifest::parse(
            "name = 'a'\norigins = ['HTTPS://A.example:443']\norigin-options = ['url']\n[[folders]]\npath = '/x'\naccess = 'read'\n\
             [[folders]]\noption = 'folder'\naccess = 'write'\n[limits]\nmemory-mib = 64\ndeadline-seconds = 5\n",
        )
        .unwrap();
        let options = [("url", "https://b.example/v2"), ("token_uri", "https://c.example"), ("folder", "/y")];
        let policy = manifest.asks.policy().for_options(&options.into_iter().collect());
        let origins: Vec<String> = policy.origins().iter().map(ToString::to_string).collect();
        assert_eq!(origins, ["https://a.example", "https://b.example"]);
        assert_eq!(policy.own_folders(), [Folder::read("/x"), Folder::write("/y")]);
        assert_eq!((policy.memory_limit(), policy.time_limit()), (64 << 20, Duration::from_secs(5)));
    }

    #[test]
    fn a_limit_beyond_the_hosts_is_the_hosts() {
        let huge = format!("name = 'a'\n[limits]\nmemory-mib = {0}\ndeadline-seconds = {0}\n", i64::MAX);
        let limits = Manifest::parse(&huge).unwrap().asks.limits;
        assert_eq!((limits.memory(), limits.deadline()), (MOST_MEMORY, MOST_TIME));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        for (text, words) in [
            ("", "name"),
            ("name = 'a'\norigns = []", "line 2, origns: unknown field `origns`"),
            ("name = 'a'\norigins = 'x'", "line 2, origins: invalid type"),
            ("name = 'a'\norigins = ['https://a.b/path']", "origins: https://a.b/path: an origin has no path"),
            ("name = 'a'\nwasi = ['sockets']", "line 2, wasi: unknown variant `sockets`"),
            ("name = '../a'", "name: lower-case"),
            ("name = 'a'\n[[folders]]\npath = 'x'\naccess = 'read'", "folders.path: x is not absolute"),
            ("name = 'a'\n[[folders]]\npath = '/x/../etc'\naccess = 'read'", "folders.path: /x/../etc holds '..'"),
            ("name = 'a'\n[[folders]]\npath = '/'\naccess = 'read'", "folders.path: / is the whole machine"),
            ("name = 'a'\n[[folders]]\naccess = 'read'", "folders: each has either"),
            ("name = 'a'\n[[folders]]\npath = '/x'\naccess = 'all'", "line 4, access: unknown variant `all`"),
            ("name = 'a'\n[limits]\nmemory-mib = 0", "limits.memory-mib: 0"),
            ("name = 'a'\n[limits]\nmemory-mib = -1", "line 3, memory-mib: "),
            ("name = 'a'\n[limits]\nmemory-mib = 99999999999999999999", "memory-mib"),
            ("name = 'a'\nname = 'b'", "line 2, name: duplicate key"),
            ("\u{7f}ELF", "line 1"),
        ] {
            let shown = wrong(text);
            assert!(shown.contains(words), "{text:?}: {shown}");
            assert!(!shown.contains('\n'), "{shown}");
        }
    }

    #[test]
    fn more_than_was_granted_is_told() {
        let parse = |text: &str| Manifest::parse(text).unwrap().asks;
        let granted = parse("name = 'a'\norigins = ['https://a.b']\n[[folders]]\npath = '/x'\naccess = 'read'");
        assert_eq!(granted.beyond(&granted), [""; 0]);
        let more = parse(
            "name = 'a'\norigins = ['https://a.b', 'https://c.d']\n[[folders]]\npath = '/x'\naccess = 'write'\n[limits]\nmemory-mib = 512",
        );
        assert_eq!(more.beyond(&granted), ["https://c.d", "read and write /x", "512 MiB of memory"]);
        assert_eq!(granted.beyond(&more), [""; 0]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*|(name|limits|\\[\\[folders\\]\\]|origins|=|'a'|\\[|\\]|\n| ){0,12}") {
            let _ = Manifest::parse(&text);
        }
    }
}
