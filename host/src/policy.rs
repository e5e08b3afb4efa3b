//! What a plugin may reach and use: origins, folders, memory, time, trusted certificates.
//!
//! | part      | accepted forms                                                             | when nothing is given                                             |
//! |-----------|----------------------------------------------------------------------------|-------------------------------------------------------------------|
//! | origins   | `https://host`, `https://host:8443`, `http://127.0.0.1:8000`, `http://[::1]:8000` | those of the options that hold an address (`url`, `token_uri`), and the object store that the server names |
//! | folders   | an existing folder, for reading or for reading and writing                 | each `put` and `get` gets the one folder it needs, for that call  |
//! | own folders | the same, of the plugin's own: for all of a session, beside those of transfers | none                                      |
//! | memory    | bytes                                                                      | 256 MiB                                                           |
//! | deadline  | a duration, for each call                                                  | 24 hours                                                          |
//! | CA files  | PEM files, trusted beside the system's own                                 | the system's own                                                  |
//! | journal   | a folder where it is remembered what a killed process leaves               | `aiida-firecrest/sessions` in the user's state folder             |
//!
//! **Origins.** An origin is a scheme, a host and a port, and is compared as a whole: `https://a.b` does not allow
//! `http://a.b`, `https://a.b:8443` or `https://c.a.b`. There are no wildcards. The host's letters may be of either case; a
//! missing port is the scheme's own (80, 443). A text with a path, a user name or another scheme is refused when it is
//! parsed, never ignored later.
//!
//! **Addresses.** A literal address and `localhost` are allowed only as they stand on the list. A name that turns out to be this
//! machine's loopback or link-local address is not connected to: whoever controls a name must not reach what listens here.
//! An object store that the server names is allowed unless it is less safe than the server, see [`Origin::may_name`].
//!
//! **Fail closed.** A request to an origin that is not on the list is answered `HTTP-request-denied` before a name is looked
//! up or a connection is opened; a list that is empty allows nothing. Redirects are not followed, so they cannot leave it.
//!
//! ```
//! use aiida_firecrest_host::policy::{Folder, Origin, Policy};
//! use std::time::Duration;
//!
//! let policy = Policy::default()
//!     .allow(Origin::parse("https://objects.example.org")?)
//!     .folder(Folder::read("/scratch/inputs"))
//!     .memory(64 << 20)
//!     .deadline(Duration::from_secs(600));
//! assert!(policy.allows(&Origin::parse("https://OBJECTS.example.org:443")?));
//! assert!(!policy.allows(&Origin::parse("http://objects.example.org")?));
//! assert!(Origin::parse("https://*.example.org").is_err());
//! # Ok::<(), aiida_firecrest_host::Error>(())
//! ```

use crate::error::{Error, Result};
use crate::leftovers::Journal;
use crate::options::Options;
use http::Uri;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// A plugin's memory, unless said otherwise: a transfer needs a few MiB whatever the file's size, and a listing of a million
/// names about 200 MiB.
pub const DEFAULT_MEMORY: usize = 256 << 20;

/// A call's time, unless said otherwise. It guards against a plugin that hangs, and a `wait` for a job may well take a day.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// Scheme, host and port of a server. See the [module](self) for the accepted forms.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    tls: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Parses an origin. A trailing slash is allowed, a path is not.
    ///
    /// # Errors
    /// [`Error::Policy`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Origin> {
        let uri = parse_uri(text)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(Error::policy(text, "an origin has no path: scheme, host and port only"));
        }
        Origin::of(&uri, text)
    }

    /// The origin of an address; its path and query do not matter.
    ///
    /// # Errors
    /// [`Error::Policy`]: not an address of http or https.
    pub fn of_url(text: &str) -> Result<Origin> {
        Origin::of(&parse_uri(text)?, text)
    }

    /// The origin of a request, or none for one that has no origin on the web.
    #[must_use]
    pub fn of_uri(uri: &Uri) -> Option<Origin> {
        Origin::of(uri, "").ok()
    }

    fn of(uri: &Uri, text: &str) -> Result<Origin> {
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(other) => return Err(Error::policy(text, format!("its scheme is {other}, not http or https"))),
            None => return Err(Error::policy(text, "it begins with neither https:// nor http://")),
        };
        let authority = uri.authority().ok_or_else(|| Error::policy(text, "it names no host"))?;
        if authority.as_str().contains('@') {
            // Not shown: it may be a password.
            return Err(Error::policy("", "an origin has no user name or password"));
        }
        let host = authority.host();
        let host = canonical(host).ok_or_else(|| Error::policy(text, "its host is not a name or an address"))?;
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            // `host:` and `host:99999` have no readable port, but are not without one either.
            None if authority.as_str().len() > authority.host().len() => {
                return Err(Error::policy(text, "its port is not a number up to 65535"));
            }
            None if tls => 443,
            None => 80,
        };
        Ok(Origin { tls, host, port })
    }

    /// May a server at this origin say that another origin is allowed, too? Not if that one is less safe than this: without TLS
    /// where this one has it, an address in place of a name, or this machine where the server is another. Whoever means it gives
    /// that origin with [`Policy::allow`].
    #[must_use]
    pub fn may_name(&self, other: &Origin) -> bool {
        (other.tls || !self.tls)
            && (!other.is_address() || self.is_address())
            && (!is_local(&other.host) || is_local(&self.host))
    }

    fn is_address(&self) -> bool {
        address(&self.host).is_some()
    }
}

/// A host as it is compared. None: neither a name nor an address in its usual form. What ends in a number is an address to
/// resolvers (`127.1`, `2130706433`, `0x7f.0.0.1`), so it has to be one here.
fn canonical(host: &str) -> Option<String> {
    if let Some(inner) = host.strip_prefix('[') {
        let inner: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{inner}]"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || !host.chars().all(plain) {
        return None;
    }
    let host = host.to_ascii_lowercase();
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let number = last.strip_prefix("0x").map_or_else(
        || !last.is_empty() && last.chars().all(|c| c.is_ascii_digit()),
        |hex| hex.chars().all(|c| c.is_ascii_hexdigit()),
    );
    if number && host.parse::<Ipv4Addr>().is_err() {
        return None;
    }
    Some(host)
}

/// The address that a host is, if it is no name.
fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Does a host, by its text alone, lead to this machine or its link?
pub(crate) fn is_local(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || address(host).is_some_and(is_local_address)
}

/// Loopback, unspecified (which is loopback to connect to), link-local: where clouds tell credentials.
pub(crate) fn is_local_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_unspecified() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unspecified() || address.is_unicast_link_local(),
    }
}

fn parse_uri(text: &str) -> Result<Uri> {
    text.trim().parse().map_err(|_| Error::policy(text, "not an address such as https://host or http://127.0.0.1:8000"))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        let own = if self.tls { 443 } else { 80 };
        if self.port == own { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What a plugin may do below a granted folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// List and read.
    Read,
    /// List, read, write, make and remove.
    Write,
}

/// A folder that a plugin may use. The plugin sees it under its own absolute path; symlinks that lead out of it are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// An absolute path, or one below the working directory.
    pub path: PathBuf,
    /// For reading, or for writing too.
    pub access: Access,
}

impl Folder {
    /// A folder to read from.
    pub fn read(path: impl Into<PathBuf>) -> Folder {
        Folder { path: path.into(), access: Access::Read }
    }

    /// A folder to read from and write to.
    pub fn write(path: impl Into<PathBuf>) -> Folder {
        Folder { path: path.into(), access: Access::Write }
    }
}

/// The whole of what a plugin may reach and use. The default is described in the [module](self).
#[derive(Clone, Debug)]
pub struct Policy {
    derive: bool,
    origin_options: Vec<String>,
    origins: Vec<Origin>,
    folders: Vec<Folder>,
    own_folders: Vec<Folder>,
    folder_options: Vec<(String, Access)>,
    requests_per_minute: Option<u32>,
    memory: usize,
    deadline: Duration,
    ca_files: Vec<PathBuf>,
    journal: Journal,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            derive: true,
            origin_options: Vec::new(),
            origins: Vec::new(),
            folders: Vec::new(),
            own_folders: Vec::new(),
            folder_options: Vec::new(),
            requests_per_minute: None,
            memory: DEFAULT_MEMORY,
            deadline: DEFAULT_DEADLINE,
            ca_files: Vec::new(),
            journal: Journal::User,
        }
    }
}

impl Policy {
    /// The default, but with these origins and none derived from the options. `Policy::only([])` allows no request at all.
    pub fn only(origins: impl IntoIterator<Item = Origin>) -> Policy {
        Policy { derive: false, origins: origins.into_iter().collect(), ..Policy::default() }
    }

    /// Allows one more origin, beside those given or derived.
    #[must_use]
    pub fn allow(mut self, origin: Origin) -> Policy {
        if !self.origins.contains(&origin) {
            self.origins.push(origin);
        }
        self
    }

    /// Grants a folder for all calls. From then on no folder is granted by itself for a `put` or `get`.
    #[must_use]
    pub fn folder(mut self, folder: Folder) -> Policy {
        self.folders.push(folder);
        self
    }

    /// Grants a folder of the plugin's own for all of a session. Unlike with [`Policy::folder`], each `put` and `get` is still granted the
    /// folder that it needs: what a plugin works in is not where its user's files are.
    #[must_use]
    pub fn own_folder(mut self, folder: Folder) -> Policy {
        self.own_folders.push(folder);
        self
    }

    /// The same for the folder that an option names; where it names none, or no absolute path, nothing is granted.
    #[must_use]
    pub fn folder_option(mut self, name: &str, access: Access) -> Policy {
        self.folder_options.push((name.to_owned(), access));
        self
    }

    /// Allows the origin of the address that an option holds. Which options hold one is for each plugin to say: the default knows
    /// `url`, `*_url` and `*_uri`.
    #[must_use]
    pub fn origin_option(mut self, name: &str) -> Policy {
        self.origin_options.push(name.to_owned());
        self
    }

    /// Limits the requests to each allowed origin, in a minute, for all sessions of an engine together.
    #[must_use]
    pub fn requests_per_minute(mut self, number: u32) -> Policy {
        self.requests_per_minute = Some(number);
        self
    }

    /// Limits an instance's memory, in bytes.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Policy {
        self.memory = bytes;
        self
    }

    /// Limits the time of each call.
    #[must_use]
    pub fn deadline(mut self, time: Duration) -> Policy {
        self.deadline = time;
        self
    }

    /// Trusts the certificates in a PEM file, too.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Policy {
        self.ca_files.push(path.into());
        self
    }

    /// Remembers there what a killed process leaves, so that a later session removes it.
    #[must_use]
    pub fn remember(mut self, journal: Journal) -> Policy {
        self.journal = journal;
        self
    }

    /// Is this origin on the list, as far as it is known before [`Policy::for_options`]?
    #[must_use]
    pub fn allows(&self, origin: &Origin) -> bool {
        self.origins.contains(origin)
    }

    /// The same policy with its origins settled: where none were given by [`Policy::only`], those of the options `url` and
    /// `*_uri` are added, and in any case those of [`Policy::origin_option`] and the folders of [`Policy::folder_option`]. An option
    /// that holds no address adds none: the plugin will say what is wrong with it.
    #[must_use]
    pub fn for_options(&self, options: &Options) -> Policy {
        let mut settled = self.clone();
        settled.derive = false;
        let usual = |name: &str| self.derive && (name == "url" || name.ends_with("_url") || name.ends_with("_uri"));
        for (name, value) in options.iter() {
            let address = usual(name) || self.origin_options.iter().any(|known| known == name);
            if address && let Ok(origin) = Origin::of_url(value) {
                settled = settled.allow(origin);
            }
            let folders =
                self.folder_options.iter().filter(|(known, _)| known == name && Path::new(value).is_absolute());
            settled.own_folders.extend(folders.map(|(_, access)| Folder { path: value.into(), access: *access }));
        }
        settled.origin_options.clear();
        settled.folder_options.clear();
        settled
    }

    /// Are origins derived, and not only those given?
    pub(crate) fn derives(&self) -> bool {
        self.derive
    }

    /// The allowed origins.
    #[must_use]
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// The folders granted for all calls.
    #[must_use]
    pub fn folders(&self) -> &[Folder] {
        &self.folders
    }

    /// The plugin's own folders, as far as they are known before [`Policy::for_options`].
    #[must_use]
    pub fn own_folders(&self) -> &[Folder] {
        &self.own_folders
    }

    /// Every folder that is granted for all calls: the plugin's own first.
    pub(crate) fn standing_folders(&self) -> Vec<Folder> {
        self.own_folders.iter().chain(&self.folders).cloned().collect()
    }

    /// The limit of requests to an origin, if there is one.
    #[must_use]
    pub fn request_limit(&self) -> Option<u32> {
        self.requests_per_minute
    }

    /// The memory limit in bytes.
    #[must_use]
    pub fn memory_limit(&self) -> usize {
        self.memory
    }

    /// The time limit of a call.
    #[must_use]
    pub fn time_limit(&self) -> Duration {
        self.deadline
    }

    /// Where it is remembered what a killed process leaves.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The PEM files trusted beside the system's certificates.
    #[must_use]
    pub fn ca_files(&self) -> &[PathBuf] {
        &self.ca_files
    }
}

/// A local path as a plugin is told it: absolute, and without `..`, which plugins refuse because of where symlinks lead. With a
/// `..` in it, its parent is resolved by the operating system; otherwise it stays as the caller wrote it.
///
/// # Errors
/// [`Error::Policy`]: not absolute. [`Error::Folder`]: the parent to be resolved is not there.
pub(crate) fn plain(local: &Path) -> Result<PathBuf> {
    if !local.is_absolute() {
        return Err(Error::policy(local.display(), "a local path has to be absolute"));
    }
    if !local.components().any(|part| part == Component::ParentDir) {
        return Ok(local.components().collect());
    }
    let resolved = |path: &Path| {
        path.canonicalize().map_err(|error| Error::Folder {
            path: path.to_owned(),
            missing: error.kind() == std::io::ErrorKind::NotFound,
            reason: error.to_string(),
        })
    };
    match (local.parent(), local.file_name()) {
        (Some(parent), Some(name)) => Ok(resolved(parent)?.join(name)),
        _ => resolved(local),
    }
}

/// The folders that one `put` or `get` of a [plain] path needs: the given ones where there are any; otherwise the path itself
/// where it is a folder, else the folder around it. For writing with `parents`, the nearest folder that is there is taken.
pub(crate) fn folders_for(policy: &Policy, local: &Path, access: Access, parents: bool) -> Vec<Folder> {
    if !policy.folders.is_empty() {
        return policy.standing_folders();
    }
    let root = Path::new("/");
    let mut folder = if local.is_dir() { local } else { local.parent().unwrap_or(root) };
    // A pattern is for the plugin to expand; the grant begins above its first special character.
    while !folder.exists() && folder.to_string_lossy().contains(['*', '?', '[']) {
        folder = folder.parent().unwrap_or(root);
    }
    while parents && !folder.exists() {
        folder = folder.parent().unwrap_or(root);
    }
    policy.own_folders.iter().cloned().chain([Folder { path: folder.to_owned(), access }]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (text, shown) in [
            ("https://Api.Example.org", "https://api.example.org"),
            ("https://api.example.org:443/", "https://api.example.org"),
            ("http://api.example.org:80", "http://api.example.org"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("http://[::1]:8000", "http://[::1]:8000"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().to_string(), shown, "{text}");
        }
        assert_ne!(Origin::parse("https://a.b").unwrap(), Origin::parse("http://a.b").unwrap());
        assert_ne!(Origin::parse("https://a.b").unwrap(), Origin::parse("https://a.b:8443").unwrap());
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "api.example.org",
            "localhost:8000",
            "ftp://a.b",
            "https://",
            "https://a.b/path",
            "https://a.b?x=1",
            "https://*.b",
            "https://u:p@a.b",
            "https://a.b:",
            "https://a.b:99999",
            "https://a b",
            "http://127.1",
            "http://2130706433",
            "http://0x7f.0.0.1",
            "http://0x7f000001:80",
            "http://1.2.3.4.5",
            "http://[::1%25lo]",
            "http://[fe80::1",
            "*",
        ] {
            assert!(Origin::parse(text).is_err(), "{text:?}");
        }
        let shown = Origin::parse("https://user:hunter2@a.b").unwrap_err().to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    proptest::proptest! {
        /// What is parsed prints as something that parses to the same, and is not another spelling of this machine.
        #[test]
        fn an_origin_prints_as_it_is_compared(text in "(http|https|HTTP|ftp)://[\\[\\]a-zA-Z0-9.:@%-]{0,30}/?") {
            if let Ok(origin) = Origin::parse(&text) {
                let shown = origin.to_string();
                proptest::prop_assert_eq!(Origin::parse(&shown).unwrap(), origin, "{}", shown);
                let uri: Uri = shown.parse().unwrap();
                proptest::prop_assert!(Origin::of_uri(&uri).is_some());
            }
            let _ = Origin::of_url(&text);
        }

        /// An address in any of a resolver's spellings is an address here, or nothing.
        #[test]
        fn numbers_are_addresses_or_nothing(number in 0_u32.., hex in proptest::bool::ANY) {
            let text = if hex { format!("http://{number:#x}") } else { format!("http://{number}") };
            proptest::prop_assert!(Origin::parse(&text).is_err(), "{}", text);
            let [a, b, c, d] = number.to_be_bytes();
            let origin = Origin::parse(&format!("http://{a}.{b}.{c}.{d}")).unwrap();
            proptest::prop_assert!(origin.is_address());
        }
    }

    #[test]
    fn a_server_names_no_origin_that_is_less_safe_than_itself() {
        let may = |server: &str, other: &str| Origin::parse(server).unwrap().may_name(&Origin::parse(other).unwrap());
        assert!(may("https://fc.example.org", "https://objects.example.com:9000"));
        assert!(may("http://127.0.0.1:8000", "http://127.0.0.1:9000"));
        assert!(may("http://localhost:8000", "http://objects.example.com"));
        for (server, other) in [
            ("https://fc.example.org", "http://objects.example.org"),
            ("https://fc.example.org", "https://10.0.0.1"),
            ("https://fc.example.org", "https://localhost:9000"),
            ("https://fc.example.org", "https://x.localhost."),
            ("http://fc.example.org", "http://127.0.0.1:9000"),
            ("http://10.0.0.1", "http://127.0.0.1"),
            ("http://10.0.0.1", "http://169.254.169.254"),
            ("http://10.0.0.1", "http://[::ffff:127.0.0.1]"),
            ("http://10.0.0.1", "http://0.0.0.0"),
            ("http://10.0.0.1", "http://[fe80::1]"),
        ] {
            assert!(!may(server, other), "{server} {other}");
        }
        assert_eq!(Origin::parse("http://[0:0::1]").unwrap(), Origin::parse("http://[::1]").unwrap());
    }

    #[test]
    fn origins_come_from_the_options_unless_given() {
        let mut options = Options::new();
        options.set("url", "https://fc.example.org/v2");
        options.set("token_uri", "https://auth.example.org/realms/x/token");
        options.set("client_id", "https://not.an.address.option");
        let derived = Policy::default().for_options(&options);
        assert_eq!(
            derived.origins().iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["https://auth.example.org", "https://fc.example.org"]
        );
        assert!(Policy::only([]).for_options(&options).origins().is_empty());
    }

    #[test]
    fn a_transfer_is_granted_the_folder_around_its_path() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("in")).unwrap();
        let around = |path: &str, parents| {
            let local = plain(&root.join(path)).unwrap();
            let mut folders = folders_for(&Policy::default(), &local, Access::Read, parents);
            assert_eq!(folders.len(), 1);
            folders.remove(0).path
        };
        assert_eq!(around("in/a.txt", false), root.join("in"));
        assert_eq!(around("in", false), root.join("in"));
        assert_eq!(around("in/./a.txt", false), root.join("in"));
        assert_eq!(around("in/../a.txt", false), root);
        assert_eq!(around("in/..", false), root);
        assert_eq!(around("in/*.txt", false), root.join("in"));
        assert_eq!(around("i*/a.txt", false), root);
        assert_eq!(around("in/new/a.txt", false), root.join("in/new"));
        assert_eq!(around("in/new/a.txt", true), root.join("in"));
        assert!(plain(Path::new("a.txt")).is_err());
        assert_eq!(plain(&root.join("none/../a.txt")).unwrap_err().exit_code(), 3);
        let given = Policy::default().folder(Folder::read("/other"));
        assert_eq!(folders_for(&given, &root.join("in/a.txt"), Access::Read, false), [Folder::read("/other")]);
    }
}
