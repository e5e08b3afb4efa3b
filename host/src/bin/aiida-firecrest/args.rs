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
shorthands; later ones win. A secret belongs into the file, the environment or a keyring
(--secret-command): others on this machine can read a command line.";

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
    /// A command whose first line of output is the client secret, for keyrings: 'secret-tool lookup service firecrest'
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        value_name = "COMMAND",
        env = "AIIDA_FIRECREST_SECRET_COMMAND",
        hide_env_values = true
    )]
    pub(crate) secret_command: Option<String>,
    /// Shorthand for --set url=URL
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Shorthand for --set token_uri=URL
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "URL")]
    pub(crate) token_uri: Option<String>,
    /// Shorthand for --set compute_resource=NAME: the cluster
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "NAME")]
    pub(crate) system: Option<String>,
    /// Another plugin than the built-in one: a name in the plugin folder, or a file
    #[arg(long, global = true, help_heading = "Options of every command", value_name = "NAME|FILE.wasm")]
    pub(crate) plugin: Option<String>,
    /// The folder of plugins [default: aiida-firecrest/plugins in the user's data folder]
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        value_name = "DIR",
        env = "AIIDA_FIRECREST_PLUGINS",
        hide_env_values = true
    )]
    pub(crate) plugins: Option<PathBuf>,
    /// Grant the plugin what its manifest asks for, for this run alone
    #[arg(long, global = true, help_heading = "Options of every command")]
    pub(crate) grant: bool,
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
    /// Move local files and folders to the cluster
    Put(Transfer),
    /// Move files and folders from the cluster to this machine
    Get(Transfer),
    /// Put or get only what differs between two folders
    Sync(Sync),
    /// Copy on the cluster
    Cp(Copy),
    /// Move to a new name on the cluster
    Mv {
        #[arg(value_name = "REMOTE")]
        source: String,
        /// A name that is not taken; with a slash at its end, a directory to move into
        #[arg(value_name = "TARGET")]
        target: String,
    },
    /// Make a symlink
    Ln {
        /// A symbolic link: the server knows no other
        #[arg(short, long, required = true)]
        symbolic: bool,
        /// Where it points; kept as it is written
        #[arg(value_name = "TARGET")]
        target: String,
        #[arg(value_name = "LINK")]
        link: String,
    },
    /// Print where symlinks point
    Readlink {
        #[arg(required = true, value_name = "REMOTE")]
        paths: Vec<String>,
    },
    /// Print the paths that match shell patterns
    Glob {
        /// `*`, `?`, `[a-z]`, and `**` for any depth; quoted, so that the shell here leaves it alone
        #[arg(required = true, value_name = "PATTERN")]
        patterns: Vec<String>,
    },
    /// Draw what is in a directory
    Tree(Tree),
    /// Pack files and directories into an archive on the cluster
    Compress(Compress),
    /// Unpack an archive on the cluster into a directory, which is made if missing
    Extract {
        /// How it is packed [default: told from the archive's name]
        #[arg(long, value_enum)]
        format: Option<Format>,
        /// Leave out this many leading names of every member
        #[arg(long, value_name = "N", default_value_t = 0)]
        strip: u32,
        archive: String,
        #[arg(value_name = "DIR")]
        target: String,
    },
    /// Run a command on the cluster as a short job; the exit code is the command's
    Exec(Exec),
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
    /// Other plugins: what is there, what they ask for, what they may
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Try every promise of the contract on this plugin and server, and report which are kept
    #[command(after_help = CONFORMANCE)]
    Conformance(Conformance),
    /// Print what a plugin is: contract, imports, exports, options
    Inspect {
        /// [default: the built-in plugin]
        #[arg(value_name = "PLUGIN.wasm")]
        file: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(crate) enum PluginCommand {
    /// List the plugins in the folder
    List,
    /// Print what a plugin is, what it asks for and what it was granted; runs nothing of it
    Inspect {
        /// A name in the plugin folder, or a file
        #[arg(value_name = "NAME|FILE.wasm")]
        which: String,
    },
    /// Check all that can be known without running it: component, contract, manifest, grants, code
    Check {
        /// A name in the plugin folder, or a file
        #[arg(value_name = "NAME|FILE.wasm")]
        which: String,
    },
    /// Grant a plugin what its manifest asks for; it holds for this very file
    Grant {
        /// A name in the plugin folder, or a file
        #[arg(value_name = "NAME|FILE.wasm")]
        which: String,
    },
    /// Take back what a plugin was granted
    Revoke {
        /// A name, a file, or a SHA-256
        #[arg(value_name = "NAME|FILE.wasm|SHA256")]
        which: String,
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
pub(crate) struct Conformance {
    /// Only behaviours whose id holds this text, or matches this pattern (`*`, `?`); may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Vec<String>,
    /// Print the behaviours and do nothing
    #[arg(long)]
    pub(crate) list: bool,
    /// Write the report as JUnit's XML, too
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Leave the files on the cluster and on this machine
    #[arg(long)]
    pub(crate) keep: bool,
    /// Make the folder below this one [default: the configuration's workdir, else temp_directory, else the system's]
    #[arg(long, value_name = "REMOTE")]
    pub(crate) below: Option<String>,
    /// The scheduler keeps jobs and does not run them: what needs one to run is reported as unsupported
    #[arg(long)]
    pub(crate) jobs_are_not_run: bool,
    /// How long jobs may wait in the queue and run, e.g. 90s, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1h")]
    pub(crate) queue_patience: Duration,
    /// How long a change may take to be seen
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    pub(crate) settle: Duration,
    /// The account for jobs [default: the option billing_account]
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// The partition for jobs [default: the scheduler's]
    #[arg(long, value_name = "NAME")]
    pub(crate) partition: Option<String>,
}

const CONFORMANCE: &str = "\
Works in a fresh folder of its own, which is removed at the end with every job that has not ended, also after Ctrl-C.
Exit codes: 0 every promise was kept, or is one that the plugin does not make (unsupported); 12 one was not;
9 none was broken, but some could not be seen in time (undecided).";

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
    /// Move folders with all that is in them
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// What to do where the target is there
    #[arg(long, value_enum, default_value = "replace")]
    pub(crate) overwrite: Overwrite,
    /// Inside folders, move symlinks themselves, not what they point to
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
    /// What to move; a shell pattern works on both sides, locally in the last name
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
#[command(after_help = SYNC)]
pub(crate) struct Sync {
    /// Make LOCAL like REMOTE, in place of REMOTE like LOCAL
    #[arg(long)]
    pub(crate) pull: bool,
    /// Remove what the source does not have
    #[arg(long)]
    pub(crate) delete: bool,
    /// Compare files of one size by SHA-256 even where their times are the same
    #[arg(long)]
    pub(crate) checksum: bool,
    /// Say what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// A folder on this machine
    pub(crate) local: PathBuf,
    /// A folder on the cluster
    pub(crate) remote: String,
}

const SYNC: &str = "\
What is in the one folder is compared with what is in the other, hidden names too:
  sizes differ                                     copied
  size and time of last change are the same        left alone (not with --checksum)
  the size is the same, the time is not            SHA-256 decides: copied where it differs
Times are told by the cluster in a time zone of its own, which is learnt from one file; to be an hour apart counts
as the same, for summer time. A symlink is a symlink with the same target, and is never followed. Of permissions the
owner's are compared. A directory is replaced by something else only with --delete.";

#[derive(Args)]
pub(crate) struct Copy {
    /// Copy directories with all that is in them
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Copy what symlinks point to, not the links
    #[arg(short = 'L', long)]
    pub(crate) dereference: bool,
    /// What to copy; its last name may be a shell pattern
    #[arg(value_name = "REMOTE")]
    pub(crate) source: String,
    /// Where to: a new name, or a directory to copy into
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
}

#[derive(Args)]
pub(crate) struct Tree {
    /// Names that begin with a dot, too
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Only so many levels
    #[arg(short = 'L', long = "level", value_name = "DEPTH", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) depth: Option<u16>,
    #[arg(value_name = "REMOTE")]
    pub(crate) path: String,
}

#[derive(Args)]
pub(crate) struct Compress {
    /// How to pack [default: told from the archive's name]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// What names in the archive are relative to [default: each source's own directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<String>,
    /// Pack what symlinks point to
    #[arg(long)]
    pub(crate) dereference: bool,
    /// Only regular files whose last name matches this shell pattern
    #[arg(long, value_name = "GLOB")]
    pub(crate) pattern: Option<String>,
    /// Replace an archive that is there
    #[arg(long)]
    pub(crate) overwrite: bool,
    pub(crate) archive: String,
    /// What to pack; the last name may be a shell pattern
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
}

/// How an archive is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    None,
    Gzip,
    Bzip2,
    Xz,
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::None => "none",
            Format::Gzip => "gzip",
            Format::Bzip2 => "bzip2",
            Format::Xz => "xz",
        }
    }

    /// By the archive's name, as the plugin tells it in `extract`.
    pub(crate) fn of_name(name: &str) -> Option<Format> {
        let name = name.to_ascii_lowercase();
        let ends = |endings: &[&str]| endings.iter().any(|end| name.ends_with(end));
        match () {
            () if ends(&[".tar"]) => Some(Format::None),
            () if ends(&[".tar.gz", ".tgz"]) => Some(Format::Gzip),
            () if ends(&[".tar.bz2", ".tar.bz", ".tbz2", ".tbz"]) => Some(Format::Bzip2),
            () if ends(&[".tar.xz", ".txz"]) => Some(Format::Xz),
            () => None,
        }
    }
}

#[derive(Args)]
pub(crate) struct Exec {
    /// The working directory on the cluster [default: the home directory]
    #[arg(long, value_name = "REMOTE")]
    pub(crate) cwd: Option<String>,
    /// An environment variable; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) env: Vec<(String, String)>,
    /// What the command reads: a file, or - for stdin [default: nothing]
    #[arg(long, value_name = "FILE")]
    pub(crate) stdin: Option<PathBuf>,
    /// The job's time limit, e.g. 90, 90s, 10m [default: the plugin's]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) time: Option<Duration>,
    /// A command and its arguments, or one shell command line; options of this program stand before it
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

impl Exec {
    /// The shell line: one argument is taken as it is, several are quoted, so that each arrives as it was written.
    pub(crate) fn line(&self) -> String {
        match self.command.as_slice() {
            [line] => line.clone(),
            words => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
        }
    }
}

/// A word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
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

    fn parsed(line: &[&str]) -> Result<Command, clap::error::ErrorKind> {
        Arguments::try_parse_from(["aiida-firecrest"].iter().chain(line))
            .map(|arguments| arguments.command)
            .map_err(|error| error.kind())
    }

    fn exec(line: &[&str]) -> Exec {
        match parsed(line) {
            Ok(Command::Exec(exec)) => exec,
            _ => panic!("{line:?}"),
        }
    }

    #[test]
    fn a_commands_own_flags_are_its_own() {
        for line in [["exec", "--", "ls", "-l", "--json"].as_slice(), &["exec", "ls", "-l", "--json"]] {
            assert_eq!(exec(line).command, ["ls", "-l", "--json"]);
        }
        let one = exec(&["exec", "--cwd", "/a", "--env", "A=b=c", "--env", "B=", "--time", "2m", "--", "echo $A | wc"]);
        assert_eq!((one.line().as_str(), one.cwd.as_deref()), ("echo $A | wc", Some("/a")));
        assert_eq!(one.env, [("A".to_owned(), "b=c".to_owned()), ("B".to_owned(), String::new())]);
        assert_eq!(one.time, Some(Duration::from_secs(120)));
        assert!(parsed(&["exec"]).is_err() && parsed(&["exec", "--env", "=x", "true"]).is_err());
    }

    #[test]
    fn arguments_reach_the_command_as_they_were_written() {
        assert_eq!(
            exec(&["exec", "printf", "%s\n", "a b", "", "it's", "$HOME", "--x=1", "*"]).line(),
            "printf '%s\n' 'a b' '' 'it'\\''s' '$HOME' '--x=1' '*'"
        );
    }

    #[test]
    fn an_archives_name_tells_its_format() {
        assert_eq!(Format::of_name("/a/b.TAR.gz"), Some(Format::Gzip));
        assert_eq!(Format::of_name("b.tar"), Some(Format::None));
        assert_eq!((Format::of_name("b.tbz2"), Format::of_name("b.txz")), (Some(Format::Bzip2), Some(Format::Xz)));
        assert_eq!((Format::of_name("b.zip"), Format::of_name("tar")), (None, None));
    }

    #[test]
    fn flags_of_the_new_commands_are_read() {
        assert!(matches!(parsed(&["ln", "-s", "../x", "/a/l"]), Ok(Command::Ln { target, .. }) if target == "../x"));
        assert!(parsed(&["ln", "x", "/a/l"]).is_err(), "hard links there are none");
        assert!(
            matches!(parsed(&["put", "-r", "a", "b", "/c"]), Ok(Command::Put(t)) if t.recursive && t.sources == ["a", "b"])
        );
        assert!(matches!(parsed(&["get", "/c", "."]), Ok(Command::Get(t)) if !t.recursive));
        assert!(parsed(&["put", "--verify", "--no-verify", "a", "/b"]).is_err());
        assert!(matches!(parsed(&["tree", "-aL", "2", "/x"]), Ok(Command::Tree(t)) if t.all && t.depth == Some(2)));
        assert!(parsed(&["tree", "-L", "0", "/x"]).is_err());
        assert!(
            matches!(parsed(&["sync", "-n", "--pull", "--delete", ".", "/x"]), Ok(Command::Sync(s)) if s.pull && s.dry_run && s.delete)
        );
        assert!(
            matches!(parsed(&["compress", "--format", "xz", "/a.x", "/b", "/c"]), Ok(Command::Compress(c)) if c.sources.len() == 2)
        );
        assert!(matches!(parsed(&["extract", "--strip", "1", "/a.tar", "/b"]), Ok(Command::Extract { strip: 1, .. })));
        assert!(parsed(&["mv", "/a"]).is_err() && parsed(&["compress", "/a.tar"]).is_err());
    }
}
