//! The arguments, and the help text.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit codes:
   0  done                                  8  unavailable: try again later
   1  anything else                         9  a time limit ran out
   2  usage, configuration                 10  outcome unknown: look before trying again
   3  not found                            11  unsupported by this plugin or server
   4  already there, or in the way         12  checksum mismatch, wrong result
   5  permission denied                    13  the plugin cannot be loaded, or failed
   6  unauthenticated                     130  cancelled
   7  invalid argument, too large

Options of the plugin (url, token_uri, client_id, client_secret, compute_resource, …) come
from --config, then from the environment as AIIDA_FIRECREST_<OPTION>, then from --set and its
shorthands; later ones win. A secret belongs into the file or the environment: others on this
machine can read a command line.";

/// Files and jobs on a supercomputer, through FirecREST and nothing else.
#[derive(Parser)]
#[command(name = "aiida-firecrest", version, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args)]
pub(crate) struct Global {
    /// aiida-firecrest's JSON configuration file
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        value_name = "FILE",
        env = "AIIDA_FIRECREST_CONFIG",
        hide_env_values = true
    )]
    pub(crate) config: Option<PathBuf>,
    // Split later: clap would repeat the whole text, a secret perhaps, in its message about a missing `=`.
    /// An option of the plugin; may be repeated
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Shorthand for --set url=URL
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Shorthand for --set token_uri=URL
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "URL")]
    pub(crate) token_uri: Option<String>,
    /// Shorthand for --set compute_resource=NAME: the cluster
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "NAME")]
    pub(crate) system: Option<String>,
    /// Another plugin than the built-in one
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "FILE.wasm")]
    pub(crate) plugin: Option<PathBuf>,
    /// One JSON document on stdout in place of tables; a failure is {"error": {…}}
    #[arg(long, global = true, help_heading = "Options of every command")]
    pub(crate) json: bool,
    /// An origin that the plugin may reach, beside those of url and token_uri: scheme://host[:port]; may be repeated
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
    /// A folder that the plugin may read, in place of the one around each local path; may be repeated
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "FOLDER")]
    pub(crate) allow_read: Vec<PathBuf>,
    /// A folder that the plugin may read and write, likewise
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "FOLDER")]
    pub(crate) allow_write: Vec<PathBuf>,
    /// Certificates (PEM) to trust beside the system's
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,
    /// Longest time for one call of the plugin, e.g. 90, 90s, 10m, 2h [default: 24h]
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Print the requests that were made to stderr, at the end
    #[arg(long, global = true, help_heading = "Options of every command")]
    pub(crate) requests: bool,
    /// Print what happens to stderr; twice for more
    #[arg(short, long, global = true, help_heading = "Options of every command", action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Compile the plugin anew, and keep nothing in the user's cache folder
    #[arg(long, global = true, help_heading = "Options of every command")]
    pub(crate) no_cache: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Take one job through its whole life, check every result, and say what happened
    Demo(Demo),
    /// Connect, and print what the server says of itself and who I am
    Check,
    /// Print who I am on the cluster
    Whoami,
    /// List directories
    Ls(Ls),
    /// Print the attributes of files
    Stat(Stat),
    /// Make directories
    Mkdir {
        /// Make missing parents, and accept a directory that is there
        #[arg(short, long)]
        parents: bool,
        #[arg(required = true, value_name = "REMOTE")]
        paths: Vec<String>,
    },
    /// Remove files, symlinks and empty directories
    Rm {
        /// Remove directories with all that is in them
        #[arg(short, long)]
        recursive: bool,
        #[arg(required = true, value_name = "REMOTE")]
        paths: Vec<String>,
    },
    /// Move local files to the cluster
    Put(Transfer),
    /// Move files from the cluster to this machine
    Get(Transfer),
    /// Print files
    Cat {
        #[arg(required = true, value_name = "REMOTE")]
        paths: Vec<String>,
    },
    /// Set permission bits
    Chmod {
        /// In octal, for example 640
        #[arg(value_parser = octal)]
        mode: u32,
        #[arg(required = true, value_name = "REMOTE")]
        paths: Vec<String>,
    },
    /// Print SHA-256 checksums, computed on the cluster
    Checksum {
        #[arg(required = true, value_name = "REMOTE")]
        paths: Vec<String>,
    },
    /// Submit a job and print its id
    Submit(Submit),
    /// Print jobs: those named, or all of mine
    Jobs(Jobs),
    /// End jobs
    Cancel {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Wait until jobs have ended, or started
    Wait(Wait),
    /// Render a job script from an AiiDA job template (JSON); sends nothing
    Script {
        /// A file, or - for stdin
        template: PathBuf,
    },
    /// Print what a plugin is: contract, imports, exports, options
    Inspect {
        /// [default: the built-in plugin]
        #[arg(value_name = "PLUGIN.wasm")]
        plugin: Option<PathBuf>,
    },
}

#[derive(Args)]
pub(crate) struct Demo {
    /// Leave the files on the cluster
    #[arg(long)]
    pub(crate) keep: bool,
    /// Make the demo's folder below this one [default: the configuration's workdir, else temp_directory]
    #[arg(long, value_name = "REMOTE")]
    pub(crate) below: Option<String>,
}

#[derive(Args)]
pub(crate) struct Ls {
    /// Kind, permissions, owner, group, size, time
    #[arg(short, long)]
    pub(crate) long: bool,
    /// Names that begin with a dot, too
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Everything below, not only the direct entries
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// Only names that match this shell pattern
    #[arg(long, value_name = "GLOB")]
    pub(crate) pattern: Option<String>,
    #[arg(required = true, value_name = "REMOTE")]
    pub(crate) paths: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Stat {
    /// Follow a symlink
    #[arg(short = 'L', long)]
    pub(crate) dereference: bool,
    #[arg(required = true, value_name = "REMOTE")]
    pub(crate) paths: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Transfer {
    /// What to do where the target is there
    #[arg(long, value_enum, default_value = "replace")]
    pub(crate) overwrite: Overwrite,
    /// Move symlinks themselves, not what they point to
    #[arg(short = 'P', long)]
    pub(crate) no_dereference: bool,
    /// A source that is not there is no error
    #[arg(long)]
    pub(crate) ignore_missing: bool,
    /// Make missing parents of the target
    #[arg(short, long)]
    pub(crate) parents: bool,
    /// Compare checksums afterwards, whatever the option checksum_check says
    #[arg(long, conflicts_with = "no_verify")]
    pub(crate) verify: bool,
    /// Do not compare checksums
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// Permission bits for the target, in octal [default: the source's]
    #[arg(long, value_parser = octal)]
    pub(crate) mode: Option<u32>,
    /// What to move
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Where to: a file, or a directory to move into
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Overwrite {
    /// Replace files, merge into directories
    Replace,
    /// An error, and nothing is changed
    Fail,
    /// Leave what is there
    Skip,
}

#[derive(Args)]
pub(crate) struct Submit {
    /// The script on the cluster; its folder is the default for --directory
    #[arg(long, value_name = "REMOTE", conflicts_with = "script", required_unless_present = "script")]
    pub(crate) remote: Option<String>,
    /// The working directory on the cluster
    #[arg(short, long, value_name = "REMOTE", required_unless_present = "remote")]
    pub(crate) directory: Option<String>,
    /// In place of the script's own name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The account to bill
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// An environment variable for the job; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// A script on this machine, or - for stdin
    pub(crate) script: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Jobs {
    /// Ask again and again, and print each change, until all named jobs have ended
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Seconds between two questions of --watch
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS", requires = "watch", value_parser = seconds)]
    pub(crate) every: f64,
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Wait {
    /// Until they run, not until they have ended
    #[arg(long)]
    pub(crate) started: bool,
    /// For the first one, not for all
    #[arg(long)]
    pub(crate) any: bool,
    /// At most this long, e.g. 90s, 10m; then the exit code is 9
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) limit: Option<Duration>,
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

/// Splits `NAME=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    // The text is not repeated in the message: it may be a secret.
    let (name, value) = text.split_once('=').ok_or("it has to be NAME=VALUE")?;
    if name.is_empty() { Err("the name before = is missing".into()) } else { Ok((name.into(), value.into())) }
}

fn octal(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777).ok_or_else(|| "octal digits up to 7777".into())
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.1..=86_400.0).contains(seconds))
        .ok_or_else(|| "seconds from 0.1 to 86400".into())
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err("the unit is ms, s, m, h or d".into()),
    };
    let number: f64 = number.parse().map_err(|_| "a number with a unit, for example 90s")?;
    Duration::try_from_secs_f64(number * scale)
        .ok()
        .filter(|time| !time.is_zero() && *time <= Duration::from_secs(3650 * 86_400))
        .ok_or_else(|| "a time above zero".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn times_and_modes_are_read() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        for text in ["", "s", "0", "-1", "1y", "1e400", "NaN"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(octal("640"), Ok(0o640));
        assert!(octal("10000").is_err() && octal("8").is_err());
    }
}
