//! The command line: files and jobs on a cluster, through a sandboxed plugin.
//!
//! `main` reads the arguments, runs one command and turns its outcome into an exit code; each command is a function in one of the
//! modules below. Standard output carries the answer alone (a table, or with `--json` one document); everything else is on stderr.

mod args;
mod cluster;
mod conformance;
mod context;
mod demo;
mod demo_tree;
mod files;
mod jobs;
mod json;
mod meter;
mod output;
mod pattern;
mod plugins;
mod server;
mod sync;
mod template;
mod tree;

use aiida_firecrest_host::Error;
use args::{Arguments, Command, PluginCommand};
use clap::Parser;
use context::Context;
use output::{Failure, Output};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

/// How long a transfer may take to stop: it removes what it left on the cluster.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_tracing(arguments.global.verbose);
    let output = Output::new(arguments.global.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(&Failure::Error(Error::Runtime(error.to_string()))),
    };
    let outcome = runtime.block_on(async {
        let context = Context::new(arguments.global, output.clone())?;
        let stop = context.stop();
        let command = run(arguments.command, context);
        tokio::pin!(command);
        tokio::select! {
            outcome = &mut command => return outcome,
            _ = tokio::signal::ctrl_c() => {}
        }
        if !stop.ask() {
            return Err(Failure::Cancelled);
        }
        // A transfer that is told to stop cleans up after itself; one that does not end by itself is dropped.
        let told = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            output::remark("aiida-firecrest: stopping and cleaning up; Ctrl-C once more ends it at once");
            tokio::time::sleep(stop.patience().unwrap_or(PATIENCE)).await;
        };
        tokio::select! {
            outcome = &mut command => match outcome {
                // Done in spite of it.
                Ok(()) => Ok(()),
                // The answer that it has printed says so already.
                Err(Failure::Answered { line, code: 130 }) => Err(Failure::Answered { line, code: 130 }),
                Err(_) => Err(Failure::Cancelled),
            },
            _ = tokio::signal::ctrl_c() => Err(Failure::Cancelled),
            () = told => Err(Failure::Cancelled),
        }
    });
    // Looking up a name blocks a thread that nothing can stop.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.fail(&failure),
    }
}

async fn run(command: Command, context: Context) -> Result<(), Failure> {
    match command {
        Command::Demo(arguments) => demo::demo(&context, &arguments).await,
        Command::Conformance(arguments) => conformance::conformance(&context, &arguments).await,
        Command::Check => server::check(&context).await,
        Command::Whoami => server::whoami(&context).await,
        Command::Plugin(command) => match command {
            PluginCommand::List => plugins::list(&context),
            PluginCommand::Inspect { which } => plugins::inspect(&context, &which),
            PluginCommand::Check { which } => plugins::check(&context, &which),
            PluginCommand::Grant { which } => plugins::grant(&context, &which),
            PluginCommand::Revoke { which } => plugins::revoke(&context, &which),
        },
        Command::Inspect { file } => server::inspect(&context, file).await,
        Command::Ls(arguments) => files::ls(&context, &arguments).await,
        Command::Stat(arguments) => files::stat(&context, &arguments).await,
        Command::Mkdir { parents, paths } => files::mkdir(&context, parents, &paths).await,
        Command::Rm { recursive, paths } => files::rm(&context, recursive, &paths).await,
        Command::Put(arguments) => files::put(&context, &arguments).await,
        Command::Get(arguments) => files::get(&context, &arguments).await,
        Command::Sync(arguments) => sync::sync(&context, &arguments).await,
        Command::Cp(arguments) => cluster::cp(&context, &arguments).await,
        Command::Mv { source, target } => cluster::mv(&context, &source, &target).await,
        Command::Ln { symbolic: _, target, link } => cluster::ln(&context, &target, &link).await,
        Command::Readlink { paths } => cluster::readlink(&context, &paths).await,
        Command::Glob { patterns } => cluster::glob(&context, &patterns).await,
        Command::Tree(arguments) => tree::tree(&context, &arguments).await,
        Command::Compress(arguments) => cluster::compress(&context, &arguments).await,
        Command::Extract { format, strip, archive, target } => {
            cluster::extract(&context, &archive, &target, format, strip).await
        }
        Command::Exec(arguments) => cluster::exec(&context, &arguments).await,
        Command::Cat { paths } => files::cat(&context, &paths).await,
        Command::Chmod { mode, paths } => files::chmod(&context, mode, &paths).await,
        Command::Checksum { paths } => files::checksum(&context, &paths).await,
        Command::Submit(arguments) => jobs::submit(&context, &arguments).await,
        Command::Jobs(arguments) => jobs::jobs(&context, &arguments).await,
        Command::Cancel { ids } => jobs::cancel(&context, &ids).await,
        Command::Wait(arguments) => jobs::wait(&context, &arguments).await,
        Command::Script { template } => jobs::script(&context, &template).await,
    }
}

fn start_tracing(verbose: u8) {
    use tracing_subscriber::EnvFilter;
    let filter = match verbose {
        0 => "off",
        1 => "aiida_firecrest_host=debug",
        2 => "debug,wasmtime=info,cranelift=off",
        _ => "trace",
    };
    let mut filter = EnvFilter::try_from_env("AIIDA_FIRECREST_LOG").unwrap_or_else(|_| EnvFilter::new(filter));
    // At their lowest level these tell what passes through them: the plugin's calls with signed addresses, HTTP/2's headers with tokens.
    for quiet in [
        "wasmtime=info",
        "wasmtime_wasi=info",
        "wasmtime_wasi_io=info",
        "wasmtime_wasi_http=info",
        "h2=info",
        "hyper=info",
        "rustls=info",
    ] {
        if let Ok(directive) = quiet.parse() {
            filter = filter.add_directive(directive);
        }
    }
    // A second subscriber cannot be there: this is the program's first line.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
}
