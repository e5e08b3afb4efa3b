//! A plugin that attacks its host. It exports the contract's world like any other; what it does is told it in the text of a call:
//! `session.read` takes a verb and its arguments in place of a path, tries that, and reports what came of it.
//!
//! | verb | what is tried |
//! |---|---|
//! | `fetch URL`, `method NAME URL`, `crowd N URL` | a request, one with another method, many open at once |
//! | `connect ADDRESS`, `listen ADDRESS`, `udp ADDRESS`, `resolve NAME` | sockets of the standard library |
//! | `folders`, `escape RELATIVE ABSOLUTE`, `race NAME N`, `keep NAME` | what is granted, every way out of it, a name that is exchanged meanwhile, a folder kept open for later |
//! | `loop`, `sleep`, `memory`, `handles`, `headers` | time, memory, entries of the host's tables |
//! | `error N`, `repeat N`, `flood N`, `boast N`, `stderr N` | texts without end: errors, answers, reports of progress |
//! | `trap`, `panic TEXT`, `exit`, `forge`, `surroundings` | faults, handles of nobody's, arguments and environment |
//!
//! With the option `act` = `forge`, `open` returns a session that it never made.
#![cfg(target_family = "wasm")]

mod files;
mod network;
mod resources;

#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({
        world: "plugin",
        path: "../../../wit",
        with: {
            "wasi:io/error@0.2.12": wasip2::io::error,
            "wasi:io/poll@0.2.12": wasip2::io::poll,
            "wasi:io/streams@0.2.12": wasip2::io::streams,
            "wasi:clocks/monotonic-clock@0.2.12": wasip2::clocks::monotonic_clock,
            "wasi:clocks/wall-clock@0.2.12": wasip2::clocks::wall_clock,
            "wasi:random/random@0.2.12": wasip2::random::random,
            "wasi:filesystem/types@0.2.12": wasip2::filesystem::types,
            "wasi:filesystem/preopens@0.2.12": wasip2::filesystem::preopens,
            "wasi:http/types@0.2.12": wasip2::http::types,
            "wasi:http/outgoing-handler@0.2.12": wasip2::http::outgoing_handler,
        },
    });
}

use bindings::aiida::hpc::types::{Error, ErrorKind, FileKind};
use bindings::exports::aiida::hpc::configuration::{self, Identity, OptionValues};
use bindings::exports::aiida::hpc::scheduler;
use bindings::exports::aiida::hpc::transport as wit;
use wasip2::io::streams::{InputStream, OutputStream};

struct Plugin;

struct Session;

bindings::export!(Plugin with_types_in bindings);

type Reply<T> = Result<T, Error>;

/// Carries out what the text says. The report is for the test to read.
fn act(text: &str) -> Reply<String> {
    let mut words = text.split(' ');
    let verb = words.next().unwrap_or_default();
    let rest: Vec<&str> = words.collect();
    let word = |at: usize| rest.get(at).copied().unwrap_or_default();
    let number = |at: usize| word(at).parse::<usize>().unwrap_or_default();
    match verb {
        "fetch" => Ok(network::fetch("GET", word(0))),
        "method" => Ok(network::fetch(word(0), word(1))),
        "crowd" => Ok(network::crowd(number(0), word(1))),
        "connect" | "listen" | "udp" | "resolve" => Ok(network::socket(verb, word(0))),
        "folders" => Ok(files::folders()),
        "escape" => Ok(files::escape(word(0), word(1))),
        "keep" => Ok(files::keep(word(0))),
        "race" => Ok(files::race(word(0), number(1))),
        "loop" => resources::spin(),
        "sleep" => Ok(resources::sleep()),
        "memory" => Ok(resources::memory()),
        "handles" => Ok(resources::handles()),
        "headers" => Ok(resources::headers()),
        "flood" => Ok(resources::flood(number(0))),
        "boast" => Ok(resources::boast(number(0))),
        "stderr" => Ok(resources::stderr(number(0))),
        "error" => Err(error(&"e".repeat(number(0)))),
        "trap" => resources::trap(),
        "panic" => panic!("{}", rest.join(" ")),
        "exit" => std::process::exit(3),
        "forge" => Ok(resources::forge()),
        "surroundings" => Ok(format!("{} {}", std::env::args().count(), std::env::vars().count())),
        _ => Err(error(&format!("no such verb: {verb}"))),
    }
}

fn error(text: &str) -> Error {
    Error {
        kind: ErrorKind::Other,
        message: text.to_owned(),
        subject: Some(text.to_owned()),
        http_status: Some(500),
        server_message: Some(text.to_owned()),
        request_id: Some(text.to_owned()),
        retry_after_ms: None,
    }
}

fn nothing<T>() -> Reply<T> {
    Err(Error { kind: ErrorKind::Unsupported, ..error("this plugin only attacks") })
}

impl configuration::Guest for Plugin {
    fn describe() -> configuration::PluginInfo {
        configuration::PluginInfo { name: "hostile".into(), version: "0".into(), summary: String::new() }
    }

    fn options() -> Vec<configuration::OptionDescription> {
        Vec::new()
    }

    fn check(_values: OptionValues) -> Reply<configuration::ServerInfo> {
        nothing()
    }
}

impl wit::Guest for Plugin {
    type Session = Session;
}

impl wit::GuestSession for Session {
    fn open(values: OptionValues, _state: Option<Vec<u8>>) -> Reply<wit::Session> {
        if values.iter().any(|(name, value)| name == "act" && value == "forge") {
            // SAFETY: none is needed: the number is only handed to the host, which has to refuse it.
            return Ok(unsafe { wit::Session::from_handle(4242) });
        }
        Ok(wit::Session::new(Session))
    }

    fn state(&self) -> Vec<u8> {
        Vec::new()
    }

    fn origins(&self) -> Vec<String> {
        // A stranger's word: the host must not take it.
        vec!["http://127.0.0.1:1".into(), "http://169.254.169.254".into()]
    }

    fn mark(&self) -> String {
        // It would be the name of a file of the host's.
        "../../../../../../tmp/hostile-mark".into()
    }

    fn tidy(&self, _mark: String, _places: Vec<String>) -> Reply<u32> {
        nothing()
    }

    fn read(&self, path: String, _offset: u64, _length: Option<u64>) -> Reply<Vec<u8>> {
        act(&path).map(String::into_bytes)
    }

    fn glob(&self, pattern: String) -> Reply<Vec<String>> {
        Ok(resources::repeat(pattern.strip_prefix("repeat ").and_then(|count| count.parse().ok()).unwrap_or_default()))
    }

    fn put(&self, local: String, remote: String, _options: wit::TransferOptions) -> Reply<wit::TransferSummary> {
        Err(error(&format!("{local}: {}", act(&remote)?)))
    }

    fn whoami(&self) -> Reply<Identity> {
        nothing()
    }
    fn stat(&self, _path: String) -> Reply<wit::FileStat> {
        nothing()
    }
    fn lstat(&self, _path: String) -> Reply<wit::FileStat> {
        nothing()
    }
    fn exists(&self, _path: String) -> Reply<bool> {
        nothing()
    }
    fn list(&self, _path: String, _options: wit::ListOptions) -> Reply<Vec<wit::Entry>> {
        nothing()
    }
    fn mkdir(&self, _path: String, _parents: bool, _exist_ok: bool) -> Reply<()> {
        nothing()
    }
    fn remove(&self, _path: String, _kind: Option<FileKind>) -> Reply<()> {
        nothing()
    }
    fn remove_tree(&self, _path: String) -> Reply<()> {
        nothing()
    }
    fn rename(&self, _path: String, _new_path: String) -> Reply<()> {
        nothing()
    }
    fn copy(&self, _path: String, _target: String, _dereference: bool) -> Reply<()> {
        nothing()
    }
    fn symlink(&self, _target: String, _link: String) -> Reply<()> {
        nothing()
    }
    fn read_link(&self, _path: String) -> Reply<String> {
        nothing()
    }
    fn chmod(&self, _path: String, _mode: u32) -> Reply<()> {
        nothing()
    }
    fn chown(&self, _path: String, _uid: Option<u32>, _gid: Option<u32>) -> Reply<()> {
        nothing()
    }
    fn checksum(&self, _path: String) -> Reply<String> {
        nothing()
    }
    fn write(&self, _path: String, _bytes: Vec<u8>, _mode: Option<u32>) -> Reply<()> {
        nothing()
    }
    fn read_stream(&self, _path: String, _offset: u64, _length: Option<u64>, _into: OutputStream) -> Reply<u64> {
        nothing()
    }
    fn write_stream(&self, _path: String, _from: InputStream, _size: u64, _mode: Option<u32>) -> Reply<()> {
        nothing()
    }
    fn get(&self, _remote: String, _local: String, _options: wit::TransferOptions) -> Reply<wit::TransferSummary> {
        nothing()
    }
    fn compress(&self, _sources: Vec<String>, _archive: String, _options: wit::CompressOptions) -> Reply<()> {
        nothing()
    }
    fn extract(&self, _archive: String, _target: String, _options: wit::ExtractOptions) -> Reply<()> {
        nothing()
    }
    fn copy_to(
        &self,
        _path: String,
        _other: wit::SessionBorrow<'_>,
        _target: String,
        _options: wit::TransferOptions,
    ) -> Reply<wit::TransferSummary> {
        nothing()
    }
    fn exec(&self, _command: wit::Command) -> Reply<wit::CommandOutput> {
        nothing()
    }
}

impl scheduler::Guest for Plugin {
    fn script(_template: scheduler::JobTemplate) -> Reply<String> {
        nothing()
    }
    fn submit(_session: wit::SessionBorrow<'_>, _submission: scheduler::Submission) -> Reply<String> {
        nothing()
    }
    fn jobs(_session: wit::SessionBorrow<'_>, _query: scheduler::JobQuery) -> Reply<scheduler::JobListing> {
        nothing()
    }
    fn cancel(_session: wit::SessionBorrow<'_>, _ids: Vec<String>) -> Reply<Vec<scheduler::CancelOutcome>> {
        nothing()
    }
    fn wait(
        _session: wit::SessionBorrow<'_>,
        _ids: Vec<String>,
        _options: scheduler::WaitOptions,
    ) -> Reply<scheduler::JobListing> {
        nothing()
    }
    fn details(_session: wit::SessionBorrow<'_>, _id: String) -> Reply<scheduler::JobDetails> {
        nothing()
    }
    fn partitions(_session: wit::SessionBorrow<'_>) -> Reply<Vec<scheduler::Partition>> {
        nothing()
    }
    fn nodes(_session: wit::SessionBorrow<'_>) -> Reply<Vec<scheduler::Node>> {
        nothing()
    }
    fn reservations(_session: wit::SessionBorrow<'_>) -> Reply<Vec<scheduler::Reservation>> {
        nothing()
    }
}
