//! A command of wasi:cli that drives a plugin of the contract through a job's life, with any runtime that knows WASI:
//!
//! ```text
//! wasmtime run -S http -S inherit-env --dir DATA COMMAND.wasm FOLDER FILE
//! ```
//!
//! It puts FILE, a local file under a granted folder, into a new directory `hpc-command` of FOLDER on the cluster, lists that, runs a job that makes
//! the file's checksum, gets the job's output back beside FILE, prints it, and removes the directory. Options of the plugin come from the
//! environment, as `AIIDA_FIRECREST_URL` and so on: a secret on a command line can be read by everybody on the machine. Failures are printed
//! by their kind, and end it with status 1.
//!
//! It knows no server's API, and no runtime: it imports `aiida:hpc/transport` and `aiida:hpc/scheduler`, which `../command.wac` takes from the plugin.
#![cfg(target_family = "wasm")]

#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package aiida:command;
            world command {
                import aiida:hpc/transport@0.1.0;
                import aiida:hpc/scheduler@0.1.0;
            }
        ",
        path: "../../../wit",
        with: {
            "wasi:io/error@0.2.12": wasip2::io::error,
            "wasi:io/poll@0.2.12": wasip2::io::poll,
            "wasi:io/streams@0.2.12": wasip2::io::streams,
        },
        generate_all,
    });
}

use std::env;
use std::fmt;
use std::fs;
use std::path::Path;

use bindings::aiida::hpc::scheduler::{self, JobInfo, ScriptSource, Submission, WaitCondition, WaitOptions};
use bindings::aiida::hpc::transport::{ListOptions, OverwritePolicy, Session, TransferOptions};
use bindings::aiida::hpc::types::Error;

/// What an option's name is written behind, as for `aiida-firecrest`.
const PREFIX: &str = "AIIDA_FIRECREST_";

struct Command;

wasip2::cli::command::export!(Command);

impl wasip2::exports::cli::run::Guest for Command {
    fn run() -> Result<(), ()> {
        run().map_err(|failure| eprintln!("error: {failure}"))
    }
}

fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, file] = arguments.as_slice() else {
        return Err(Failure::Usage);
    };
    let session = Session::open(&options(), None)?;
    println!("user    {}", session.whoami()?.name);
    println!("origins {}", session.origins().join(" "));

    let directory = format!("{}/hpc-command", folder.trim_end_matches('/'));
    session.mkdir(&directory, false, false)?;
    let done = work(&session, &directory, file);
    // Also after a failure, which then is what there is to tell.
    let removed = session.remove_tree(&directory);
    done?;
    Ok(removed?)
}

/// A job's life, in a directory that is new.
fn work(session: &Session, directory: &str, file: &str) -> Result<(), Failure> {
    let put = session.put(file, directory, TRANSFER)?;
    println!("put     {} bytes, verified by {}", put.bytes, word(put.verified));

    let listing = ListOptions { recursive: false, hidden: true, pattern: None };
    for entry in session.list(directory, &listing)? {
        println!("list    {:o} {} {}", entry.permissions, entry.size, entry.path);
    }

    let script = "#!/bin/bash\n#SBATCH --output=checksums.txt\nsha256sum *\n";
    let submission = Submission {
        script: ScriptSource::Text(script.into()),
        working_directory: directory.to_owned(),
        name: Some("hpc-command".into()),
        account: None,
        environment: Vec::new(),
    };
    let id = scheduler::submit(session, &submission)?;
    println!("job     {id}");
    let job = finished(session, id)?;
    let status = job.exit_status.map_or("unknown".into(), |status| status.to_string());
    println!("state   {}, exit status {status}", job.raw_state);

    let result = Path::new(file).with_file_name("checksums.txt");
    let result = result.to_str().ok_or(Failure::Usage)?;
    session.get(&format!("{directory}/checksums.txt"), result, TRANSFER)?;
    let text = fs::read_to_string(result).map_err(|error| Failure::Local(result.to_owned(), error))?;
    text.lines().for_each(|line| println!("output  {line}"));
    Ok(())
}

fn finished(session: &Session, id: String) -> Result<JobInfo, Failure> {
    let options = WaitOptions { until: WaitCondition::Finished, all: true, timeout_ms: None };
    let ended = scheduler::wait(session, std::slice::from_ref(&id), options)?;
    ended.jobs.into_iter().next().ok_or(Failure::Lost(id))
}

const TRANSFER: TransferOptions = TransferOptions {
    overwrite: OverwritePolicy::Replace,
    dereference: true,
    ignore_nonexisting: false,
    parents: false,
    verify: Some(true),
    size: None,
    mode: None,
};

fn options() -> Vec<(String, String)> {
    env::vars().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_ascii_lowercase(), value))).collect()
}

/// A case as the contract spells it: of `ErrorKind::NotFound`, `not-found`.
fn word(case: impl fmt::Debug) -> String {
    let text = format!("{case:?}");
    let name = text.rsplit("::").next().unwrap_or_default();
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}

/// Why there is no result.
enum Failure {
    Usage,
    Plugin(Error),
    Lost(String),
    Local(String, std::io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Plugin(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage => write!(f, "usage: FOLDER FILE (a remote folder, a local file), options as {PREFIX}URL=…"),
            Failure::Plugin(error) => {
                write!(f, "{}: {}", word(error.kind), error.message)?;
                error.subject.as_ref().map_or(Ok(()), |subject| write!(f, " ({subject})"))
            }
            Failure::Lost(id) => write!(f, "the scheduler knows no job {id} any more"),
            Failure::Local(path, error) => write!(f, "{path}: {error}"),
        }
    }
}
