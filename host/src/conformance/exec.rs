//! Commands on the cluster: `exec`.

use super::bench::{Bench, bytes, command};
use super::judge::{Judge, Outcome, Step, holds, lacks, same};
use super::{Behaviour, behaviour};
use crate::transport::{Command, CommandOutput};
use crate::types::ErrorKind;

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!(
        "exec",
        leaves_output_and_exit_code,
        "A command's exit code, output and error output come back, and a non-zero code is no error",
        queued
    ),
    behaviour!(
        "exec",
        reads_its_stdin,
        "A command reads what it is given, whole, and nothing where nothing is given",
        queued
    ),
    behaviour!("exec", brings_any_bytes, "Output that is no text comes back as it is", queued),
    behaviour!("exec", brings_what_read_cannot, "Output past the download limit comes back whole", queued),
    behaviour!(
        "exec",
        runs_where_it_is_told,
        "A command runs in the directory that is told, else in the home directory",
        queued
    ),
    behaviour!(
        "exec",
        has_its_environment,
        "A command has the environment that is told, whatever its values hold",
        queued
    ),
    behaviour!("exec", is_a_shell_line, "A command line is a shell's: pipes, quotes, variables", queued),
    behaviour!(
        "exec",
        of_no_shell_text_is_an_exit_code,
        "A line that no shell can read is an exit code and an error output, and no error",
        queued
    ),
    behaviour!("exec", of_a_nul_is_refused, "A line with NUL is invalid-argument before anything is sent", queued),
    behaviour!(
        "exec",
        leaves_nothing_behind,
        "A command leaves nothing in its directory but what it made itself",
        queued
    ),
];

async fn run(b: &mut Bench, command: &Command) -> Step<CommandOutput> {
    b.session.exec(command).await.done(format!("exec of {:?}", command.line))
}

async fn leaves_output_and_exit_code(b: &mut Bench) -> Outcome {
    let output = run(b, &command("echo out; echo oops >&2; exit 3")).await?;
    same("the exit code", output.exit_code, 3)?;
    bytes("the output", &output.stdout, b"out\n")?;
    bytes("the error output", &output.stderr, b"oops\n")
}

async fn reads_its_stdin(b: &mut Bench) -> Outcome {
    let stdin = b"one\ntwo \xff\0 end without a newline".to_vec();
    let output = run(b, &Command { stdin: stdin.clone(), ..command("cat") }).await?;
    bytes("what cat printed", &output.stdout, &stdin)?;
    let output = run(b, &command("wc -c | tr -d ' '")).await?;
    bytes("the number of bytes of an empty stdin", &output.stdout, b"0\n")
}

async fn brings_any_bytes(b: &mut Bench) -> Outcome {
    let output = run(b, &command("printf '\\377\\000\\n\\r\\033'")).await?;
    bytes("the output", &output.stdout, b"\xff\0\n\r\x1b")?;
    same("the exit code", output.exit_code, 0)
}

async fn brings_what_read_cannot(b: &mut Bench) -> Outcome {
    let limit = b.limit_within_reach(|system| system.download_limit, "download limit")?;
    let size = usize::try_from(limit).unwrap_or_default() + 1000;
    let expected: Vec<u8> = (1_u64..).flat_map(|n| format!("{n:>9}\n").into_bytes()).take(size).collect();
    let line = format!("seq -f %9.0f 1 {} | head -c {size}; echo oops >&2", size / 10 + 1);
    let output = match b.session.exec(&command(&line)).await {
        Err(error) if error.plugin_kind() == Some(ErrorKind::TooLarge) => return Err(lacks(error.to_string())),
        output => output.done(format!("exec of {line:?}"))?,
    };
    bytes("the output", &output.stdout, &expected)?;
    bytes("the error output", &output.stderr, b"oops\n")
}

async fn runs_where_it_is_told(b: &mut Bench) -> Outcome {
    let directory = b.directory("a b").await?;
    let there = Command { working_directory: Some(directory.clone()), ..command("touch here; pwd -P") };
    run(b, &there).await?;
    b.there(&format!("{directory}/here")).await?;
    let output = run(b, &command("test \"$(pwd -P)\" = \"$(cd \"$HOME\" && pwd -P)\"")).await?;
    same("is it the home directory (0: yes)", output.exit_code, 0)
}

async fn has_its_environment(b: &mut Bench) -> Outcome {
    let value = "it's $HOME; `id` \"q\"\nsecond line, ü";
    let with =
        Command { environment: vec![("CONFORMANCE".into(), value.into())], ..command("printf %s \"$CONFORMANCE\"") };
    let output = run(b, &with).await?;
    bytes("the variable", &output.stdout, value.as_bytes())
}

async fn is_a_shell_line(b: &mut Bench) -> Outcome {
    let output = run(b, &command("x='a  b'; printf '%s\\n' \"$x\" c | sed s/a/A/ && (exit 0)")).await?;
    bytes("the output", &output.stdout, b"A  b\nc\n")
}

async fn of_no_shell_text_is_an_exit_code(b: &mut Bench) -> Outcome {
    let output = run(b, &command("if then 'unfinished")).await?;
    holds("the output", output.exit_code != 0 && !output.stderr.is_empty(), "an exit code and an error output", &output)
}

async fn of_a_nul_is_refused(b: &mut Bench) -> Outcome {
    let before = b.sent();
    b.session.exec(&command("a\0b")).await.refused("exec of a line with NUL", &[ErrorKind::InvalidArgument])?;
    b.silent("that call", before)
}

async fn leaves_nothing_behind(b: &mut Bench) -> Outcome {
    let directory = b.directory("d").await?;
    run(b, &Command { working_directory: Some(directory.clone()), ..command("echo 1 > mine") }).await?;
    b.names(&directory, &["mine"]).await
}
