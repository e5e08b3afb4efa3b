//! How many instructions the hot rules take: the same number on a quiet machine and on a noisy one.
//!
//! `cargo bench -p aiida-firecrest-host --bench rules` (valgrind has to be there: `.ci/apt valgrind valgrind`) runs each rule under callgrind, once with
//! one round and once with eleven; a tenth of the difference is a round, without the program's start. The counts are compared with
//! `host/benches/rules.txt`, and more than 5 % above it fails. `BLESS=1` writes the file anew.
//!
//! Counts are of one compiler and one kind of machine. With another compiler than the file names, differences are shown and fail nothing.

#[path = "process/answers.rs"]
mod answers;

use aiida_firecrest::archive::{Event, Limits, Member, MemberKind, Reader, Targets, write};
use aiida_firecrest::firecrest::v2::jobs::RawJob;
use aiida_firecrest::firecrest::v2::{listing, models};
use aiida_firecrest::scheduler::info::JobInfo;
use aiida_firecrest::scheduler::{script, template};
use aiida_firecrest::shell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const RULE: &str = "FIRECREST_BENCH_RULE";
const ROUNDS: &str = "FIRECREST_BENCH_ROUNDS";

/// Of the rule's name, what is run.
type Rule = (&'static str, fn() -> Box<dyn Fn()>);

const RULES: [Rule; 6] = [
    ("a listing of 1,000 entries", listing_of_1000),
    ("jobs of 1,000", jobs_of_1000),
    ("tar headers of 1,000 files, written", tar_written),
    ("tar of 1,000 files, read and placed", tar_read),
    ("a job script", job_script),
    ("1,000 words quoted", words_quoted),
];

/// A regression is more than this much above the baseline.
const TOLERANCE: f64 = 0.05;

fn main() -> ExitCode {
    if let Ok(rule) = std::env::var(RULE) {
        let rounds: u64 = std::env::var(ROUNDS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
        let (_, make) = RULES.iter().find(|(name, _)| *name == rule).expect("a rule of that name");
        let run = make();
        (0..rounds).for_each(|_| run());
        return ExitCode::SUCCESS;
    }
    match compare() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("a rule takes more instructions than before: BLESS=1 accepts that");
            ExitCode::FAILURE
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Counts, prints, and writes the baseline or compares with it. Is all as it was?
fn compare() -> Result<bool, String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/rules.txt");
    let (known, compiled_by) = read(&std::fs::read_to_string(&path).unwrap_or_default());
    let compiler = compiler();
    let mut text =
        format!("# Instructions a round, by `cargo bench -p aiida-firecrest-host --bench rules`.\n# {compiler}\n");
    let mut good = true;
    println!("{:40} {:>14} {:>14} {:>8}", "instructions a round", "before", "now", "change");
    for (name, _) in RULES {
        let count = (count(name, 11)?.saturating_sub(count(name, 1)?)) / 10;
        let _ = writeln!(text, "{count:>14} {name}");
        let before = known.get(name).copied();
        let change = before.map(|before| count as f64 / before as f64 - 1.0);
        good &= change.is_none_or(|change| change <= TOLERANCE);
        let shown = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        let (before, change) = (before.map(|b| b.to_string()), change.map(|c| format!("{:+.1} %", c * 100.0)));
        println!("{name:40} {:>14} {count:>14} {:>8}", shown(before), shown(change));
    }
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        return Ok(true);
    }
    if compiled_by.as_deref() != Some(&compiler) {
        println!("the baseline is of {}, this is {compiler}", compiled_by.as_deref().unwrap_or("no compiler"));
        return Ok(true);
    }
    Ok(good)
}

/// The counts by name, and what compiled them.
fn read(text: &str) -> (BTreeMap<String, u64>, Option<String>) {
    let counts = text.lines().filter_map(|line| {
        let (count, name) = line.trim().split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    let compiler = text.lines().find_map(|line| line.strip_prefix("# rustc ")).map(|rest| format!("rustc {rest}"));
    (counts.collect(), compiler)
}

fn compiler() -> String {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-V").output();
    output.map_or_else(|_| "rustc unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Instructions of a whole run.
fn count(rule: &str, rounds: u64) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .env(RULE, rule)
        .env(ROUNDS, rounds.to_string())
        .output()
        .map_err(|error| format!("valgrind: {error}: install it with .ci/apt valgrind valgrind"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    let line = told.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim());
    line.and_then(|count| count.parse().ok()).ok_or_else(|| format!("{rule}: callgrind counts nothing:\n{told}"))
}

fn listing_of_1000() -> Box<dyn Fn()> {
    let text = answers::listing(1000);
    Box::new(move || {
        let answer: models::Output<Vec<models::WireEntry>> = serde_json::from_str(&text).expect("a listing");
        answer.output.into_iter().for_each(|line| drop(black_box(listing::entry(line).expect("an entry"))));
    })
}

fn jobs_of_1000() -> Box<dyn Fn()> {
    let text = answers::jobs(1000);
    Box::new(move || {
        let answer: models::Jobs = serde_json::from_str(&text).expect("jobs");
        for raw in answer.jobs {
            let job = serde_json::from_str(raw.get()).expect("a job");
            drop(black_box(JobInfo::from_raw(RawJob { job, raw: raw.get().to_owned() })));
        }
    })
}

fn member(number: usize) -> Member {
    let path = format!("folder/of/results/calculation-{number:05}.out").into_bytes();
    Member { path, kind: MemberKind::File { size: 0 }, mode: 0o644, mtime: 1_790_000_000 }
}

fn tar_written() -> Box<dyn Fn()> {
    let members: Vec<Member> = (0..1000).map(member).collect();
    Box::new(move || members.iter().for_each(|member| drop(black_box(write::head(member)))))
}

fn tar_read() -> Box<dyn Fn()> {
    let mut stream: Vec<u8> = (0..1000).flat_map(|number| write::head(&member(number))).collect();
    stream.extend_from_slice(&write::END);
    Box::new(move || {
        let (mut reader, mut targets) = (Reader::new(), Targets::new(0, Limits::default()));
        let mut rest = stream.as_slice();
        while let (used, Some(event)) = reader.feed(rest).expect("a tar stream") {
            rest = &rest[used..];
            if let Event::Member(member) = event {
                drop(black_box(targets.place(&member).expect("a place")));
            }
        }
    })
}

fn job_script() -> Box<dyn Fn()> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    let job = template::JobTemplate {
        job_name: Some("a job's name".into()),
        job_environment: vec![("OMP_NUM_THREADS".into(), "4".into()), ("GREETING".into(), "it's me".into())],
        job_resource: Some(template::JobResource {
            num_machines: Some(2),
            num_mpiprocs_per_machine: Some(12),
            ..Default::default()
        }),
        max_wallclock_seconds: Some(3600),
        codes_info: vec![template::CodeInfo {
            prepend_cmdline_params: words("mpirun -np 24"),
            cmdline_params: words("/opt/code/bin/pw.x -in aiida.in"),
            stdout_name: Some("aiida.out".into()),
            ..Default::default()
        }],
        ..Default::default()
    };
    Box::new(move || drop(black_box(script::render(&job).expect("a script"))))
}

fn words_quoted() -> Box<dyn Fn()> {
    let words: Vec<String> = (0..1000).map(|number| format!("/home/u/it's file {number}.txt")).collect();
    Box::new(move || words.iter().for_each(|word| drop(black_box(shell::quote(word)))))
}
