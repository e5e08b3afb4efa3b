//! The simulator as a program: writes a ready configuration once it serves, and serves until it is ended; or runs one command
//! against itself and ends with that.

mod run;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use firecrest_simulator::{Error, JobLag, Quota, RetryAfter, Simulator};
use tokio::signal::unix::{SignalKind, signal};

/// A FirecREST v2 server in one process: real files under a folder, real processes for jobs, on this machine only.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Arguments {
    /// Keep the files under this folder (made if missing); a temporary one unless given
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Listen on this port of 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Write the clients' configuration here once it serves (aiida-firecrest's JSON, mode 0600)
    #[arg(long, value_name = "FILE")]
    config_out: Option<PathBuf>,
    /// Wait so long before each answer of the API and of the token server
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// Wait so long before each answer of the object store
    #[arg(long, value_name = "MS", default_value_t = 0)]
    s3_latency: u64,
    /// Let every file operation take at least so long (7 on the real server)
    #[arg(long, value_name = "MS", default_value_t = 0)]
    file_operation_cost: u64,
    /// Keep each job waiting at least so long
    #[arg(long, value_name = "SECONDS", default_value_t = 0.1)]
    queue_wait: f64,
    /// Run so many one-node jobs at once
    #[arg(long, default_value_t = 2)]
    nodes: u32,
    /// The limit of direct uploads and of a command's output
    #[arg(long, value_name = "BYTES", default_value_t = 5 * 1024 * 1024)]
    max_ops_file_size: u64,
    /// The largest part of an upload through the object store
    #[arg(long, value_name = "BYTES", default_value_t = 1024 * 1024 * 1024)]
    max_part_size: u64,
    /// The version that the server tells
    #[arg(long = "version", value_name = "VERSION", default_value = "2.5.7")]
    server_version: String,
    /// How long tokens live
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    token_lifetime: u64,
    /// The limit for one command
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    command_limit: f64,
    /// Answer about jobs without the real server's lag
    #[arg(long)]
    no_job_lag: bool,
    /// Make every question about jobs take so long (90 on the real server)
    #[arg(long, value_name = "MS", default_value_t = 0)]
    job_query_cost: u64,
    /// Make every submission and cancellation take so long (9 on the real server)
    #[arg(long, value_name = "MS", default_value_t = 0)]
    job_command_cost: u64,
    /// The default system wants an account for transfer jobs
    #[arg(long)]
    account_required: bool,
    /// Let an upload's job sleep so long between two looks for the object
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    transfer_sleep: f64,
    /// Refuse API requests past so many a minute (429), as a centre's gateway does; or in so many seconds, as 100/10
    #[arg(long, value_name = "REQUESTS[/SECONDS]", value_parser = quota)]
    quota: Option<Quota>,
    /// How the 429 says when to come back, and whether every answer tells the quota
    #[arg(long, value_enum, default_value_t = QuotaForm::Seconds, requires = "quota")]
    quota_form: QuotaForm,
    /// Take faults and knobs as JSON on this port of 127.0.0.1 (0 takes a free one); its URL is the second line printed
    #[arg(long, value_name = "PORT")]
    admin: Option<u16>,
    /// By how many seconds the server's clock is ahead
    #[arg(long, value_name = "SECONDS", default_value_t = 0, allow_negative_numbers = true)]
    clock_skew: i64,
    /// End when stdin closes, so that a parent takes it along
    #[arg(long)]
    until_stdin_closes: bool,
    /// Run this command with AIIDA_FIRECREST_CONFIG naming a configuration, and end with its exit code; takes all that follows
    #[arg(long, value_name = "COMMAND", num_args = 1.., allow_hyphen_values = true, conflicts_with_all = ["config_out", "until_stdin_closes"])]
    run: Vec<OsString>,
}

/// The forms of a gateway's 429.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum QuotaForm {
    /// Retry-After in seconds
    Seconds,
    /// Retry-After as a date
    Date,
    /// RateLimit-Reset in seconds
    Reset,
    /// RateLimit-Limit, -Remaining and -Reset on every answer, Retry-After on the 429
    Announced,
}

impl From<QuotaForm> for RetryAfter {
    fn from(form: QuotaForm) -> Self {
        match form {
            QuotaForm::Seconds => Self::Seconds,
            QuotaForm::Date => Self::HttpDate,
            QuotaForm::Reset => Self::RateLimitReset,
            QuotaForm::Announced => Self::Announced,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("firecrest-simulator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<u8, Error> {
    let seconds = |value: f64| Duration::try_from_secs_f64(value).unwrap_or_default();
    let mut builder = Simulator::builder().port(arguments.port).adjust(|knobs| {
        knobs.latency = Duration::from_millis(arguments.latency);
        knobs.s3_latency = Duration::from_millis(arguments.s3_latency);
        knobs.file_operation_cost = Duration::from_millis(arguments.file_operation_cost);
        knobs.queue_wait = seconds(arguments.queue_wait);
        knobs.nodes = arguments.nodes;
        knobs.version.clone_from(&arguments.server_version);
        knobs.token_lifetime = Duration::from_secs(arguments.token_lifetime);
        knobs.command_time_limit = seconds(arguments.command_limit);
        knobs.job_query_cost = Duration::from_millis(arguments.job_query_cost);
        knobs.job_command_cost = Duration::from_millis(arguments.job_command_cost);
        knobs.transfer_sleep = seconds(arguments.transfer_sleep);
        knobs.quota = arguments.quota.map(|quota| Quota { form: arguments.quota_form.into(), ..quota });
        knobs.clock_skew = arguments.clock_skew;
        if arguments.no_job_lag {
            knobs.job_lag = JobLag::NONE;
        }
        if let Some(system) = knobs.systems.first_mut() {
            system.max_ops_file_size = arguments.max_ops_file_size;
            system.max_part_size = arguments.max_part_size;
            system.account_required = arguments.account_required;
        }
    });
    if let Some(root) = arguments.root {
        builder = builder.root(root);
    }
    if let Some(port) = arguments.admin {
        builder = builder.admin(port);
    }
    // Before it serves: whoever ends it early must find the handlers in place.
    let mut signals =
        Signals { interrupt: signal(SignalKind::interrupt()).ok(), terminate: signal(SignalKind::terminate()).ok() };
    let simulator = builder.start().await?;
    if let Some((program, given)) = arguments.run.split_first() {
        let code = run::command(&simulator, program, given, &mut signals).await;
        simulator.shutdown().await;
        return code;
    }
    if let Some(path) = &arguments.config_out {
        simulator.write_config(path)?;
    }
    println!("{}", simulator.url());
    if let Some(admin) = simulator.admin_url() {
        println!("{admin}");
    }
    tokio::select! {
        _ = signals.next() => {}
        () = stdin_closed(), if arguments.until_stdin_closes => {}
    }
    simulator.shutdown().await;
    Ok(0)
}

fn quota(text: &str) -> Result<Quota, String> {
    let (requests, seconds) = text.split_once('/').unwrap_or((text, "60"));
    let requests = requests.parse().map_err(|_| format!("'{requests}' is not a whole number"))?;
    let window = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let window = window.filter(|window| !window.is_zero()).ok_or(format!("'{seconds}' is not a number of seconds"))?;
    Ok(Quota { requests, window, form: RetryAfter::Seconds })
}

/// What asks the program to end.
struct Signals {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    /// Waits for one of them.
    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            () = received(&mut self.interrupt) => SignalKind::interrupt(),
            () = received(&mut self.terminate) => SignalKind::terminate(),
        }
    }
}

async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

async fn stdin_closed() {
    // A thread of its own: one that the runtime knows of would keep the program from ending while stdin stays open.
    let (closed, wait) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(closed);
    });
    let _ = wait.await;
}
