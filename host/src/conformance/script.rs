//! Job scripts: `script`.

use super::bench::{Bench, empty_template, resource};
use super::judge::{Judge, Outcome, holds, lacks, same};
use super::{Behaviour, behaviour};
use crate::scheduler::{CodeInfo, JobResource, JobTemplate, RunMode};
use crate::types::ErrorKind;

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!(
        "script",
        is_what_aiida_writes,
        "For Slurm a template becomes what AiiDA's own plugin writes, byte for byte"
    ),
    behaviour!("script", sends_nothing, "A script is rendered without a request, and the same every time"),
    behaviour!("script", needs_no_session, "A script is rendered by a plugin that has no session"),
    behaviour!(
        "script",
        of_resources_that_do_not_agree_is_refused,
        "Too few or contradicting numbers of processes are invalid-argument, with a subject"
    ),
    behaviour!(
        "script",
        of_numbers_out_of_range_names_the_field,
        "Numbers that cannot be are invalid-argument, and the subject is the field"
    ),
    behaviour!(
        "script",
        cleans_the_jobs_name,
        "Of a job's name letters, digits, underscores, dots and dashes stay, at most 128"
    ),
    behaviour!(
        "script",
        runs_codes_as_told,
        "Programs run with their arguments and redirections, whatever those hold",
        runs
    ),
    behaviour!("script", runs_codes_in_parallel, "Several programs run at once and are waited for", runs),
    behaviour!(
        "script",
        sets_the_environment,
        "The job has the environment of its template, whatever its values hold",
        runs
    ),
];

async fn is_what_aiida_writes(b: &mut Bench) -> Outcome {
    if !b.shared.system().is_some_and(|system| system.scheduler.eq_ignore_ascii_case("slurm")) {
        return Err(lacks("the system's scheduler is not Slurm"));
    }
    let full = JobTemplate {
        submit_as_hold: true,
        rerunnable: true,
        job_environment: vec![("OMP_NUM_THREADS".into(), "2".into()), ("GREETING".into(), "it's".into())],
        email: Some("me@example.org".into()),
        email_on_started: true,
        email_on_terminated: true,
        job_name: Some("aiida: job #7 (ünï)".into()),
        sched_output_path: Some("_scheduler-stdout.txt".into()),
        sched_error_path: Some("_scheduler-stderr.txt".into()),
        queue_name: Some("part01".into()),
        account: Some("staff".into()),
        qos: Some("normal".into()),
        job_resource: Some(JobResource { num_cores_per_mpiproc: Some(3), ..resource(Some(2), Some(4), None) }),
        priority: Some("10".into()),
        max_memory_kb: Some(2_048_000),
        max_wallclock_seconds: Some(90_061),
        custom_scheduler_commands: Some("#SBATCH --constraint=gpu".into()),
        prepend_text: Some("module load x".into()),
        append_text: Some("echo done".into()),
        import_sys_environment: true,
        codes_info: vec![CodeInfo {
            prepend_cmdline_params: vec!["mpirun".into(), "-np".into(), "8".into()],
            stdin_name: Some("in.txt".into()),
            stdout_name: Some("out.txt".into()),
            join_files: true,
            ..code(&["/bin/prog", "-in file"])
        }],
        ..empty_template()
    };
    let expected = "\
#!/bin/bash
#SBATCH -H
#SBATCH --requeue
#SBATCH --mail-user=me@example.org
#SBATCH --mail-type=BEGIN
#SBATCH --mail-type=FAIL
#SBATCH --mail-type=END
#SBATCH --job-name=\"aiidajob7n\"
#SBATCH --get-user-env
#SBATCH --output=_scheduler-stdout.txt
#SBATCH --error=_scheduler-stderr.txt
#SBATCH --partition=part01
#SBATCH --account=staff
#SBATCH --qos=normal
#SBATCH --nice=10
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=3
#SBATCH --time=1-01:01:01
#SBATCH --mem=2000
#SBATCH --constraint=gpu

# ENVIRONMENT VARIABLES BEGIN ###
export OMP_NUM_THREADS='2'
export GREETING='it'\"'\"'s'
# ENVIRONMENT VARIABLES END ###

module load x

'mpirun' '-np' '8' '/bin/prog' '-in file' < 'in.txt' > 'out.txt' 2>&1

echo done
";
    let script = b.session.script(&full).await.done("script of a full template")?;
    for (number, (seen, expected)) in script.lines().zip(expected.lines()).enumerate() {
        same(format!("line {}", number + 1), seen, expected)?;
    }
    same("the script", script.as_str(), expected)
}

/// A program with these words, and nothing else.
fn code(words: &[&str]) -> CodeInfo {
    CodeInfo {
        prepend_cmdline_params: Vec::new(),
        cmdline_params: words.iter().map(|&word| word.to_owned()).collect(),
        use_double_quotes: (false, false),
        wrap_cmdline_params: false,
        stdin_name: None,
        stdout_name: None,
        stderr_name: None,
        join_files: false,
    }
}

async fn sends_nothing(b: &mut Bench) -> Outcome {
    let before = b.sent();
    let template = b.template("true");
    let one = b.session.script(&template).await.done("script of a template")?;
    let two = b.session.script(&template).await.done("script of a template")?;
    b.silent("script", before)?;
    same("the same template's script", two, one)
}

async fn needs_no_session(b: &mut Bench) -> Outcome {
    let template = b.template("true");
    let one = b.session.script(&template).await.done("script of a template")?;
    let two = b.shared.plugin.script(&template).await.done("script without a session")?;
    same("the same template's script", two, one)
}

async fn of_resources_that_do_not_agree_is_refused(b: &mut Bench) -> Outcome {
    for job_resource in [
        resource(None, None, None),
        resource(Some(2), None, None),
        resource(Some(2), Some(4), Some(9)),
        resource(Some(0), Some(1), None),
        resource(Some(1), Some(-1), None),
    ] {
        let did = format!("script with {job_resource:?}");
        let template = JobTemplate { job_resource: Some(job_resource), ..empty_template() };
        let error = b.session.script(&template).await.refused(did, &[ErrorKind::InvalidArgument])?;
        let named = error.subject.as_deref().is_some_and(|subject| !subject.is_empty());
        holds("the error's subject", named, "a field", &error)?;
    }
    Ok(())
}

async fn of_numbers_out_of_range_names_the_field(b: &mut Bench) -> Outcome {
    for (field, template) in [
        ("max-wallclock-seconds", JobTemplate { max_wallclock_seconds: Some(0), ..empty_template() }),
        ("max-memory-kb", JobTemplate { max_memory_kb: Some(-1), ..empty_template() }),
    ] {
        let did = format!("script with an impossible {field}");
        let error = b.session.script(&template).await.refused(did, &[ErrorKind::InvalidArgument])?;
        let subject = error.subject.unwrap_or_default().replace('_', "-");
        holds("the error's subject", subject.contains(field), field, &subject)?;
    }
    Ok(())
}

async fn cleans_the_jobs_name(b: &mut Bench) -> Outcome {
    let odd = JobTemplate { job_name: Some("a b;$(id)_.-7".into()), ..empty_template() };
    let script = b.session.script(&odd).await.done("script of an odd job name")?;
    holds("the script", script.contains("abid_.-7") && !script.contains("$(id)"), "abid_.-7", &script)?;
    let long = JobTemplate { job_name: Some("x".repeat(200)), ..empty_template() };
    let script = b.session.script(&long).await.done("script of a long job name")?;
    let length = script.split(|c| c != 'x').map(str::len).max();
    same("letters of the long name", length, Some(128))
}

async fn runs_codes_as_told(b: &mut Bench) -> Outcome {
    let hostile = "it's $HOME \"q\" ; `id` * \\n";
    let template = JobTemplate {
        codes_info: vec![
            CodeInfo { stdout_name: Some("a b.txt".into()), ..code(&["printf", "%s|", hostile, ""]) },
            CodeInfo {
                stdin_name: Some("a b.txt".into()),
                stdout_name: Some("copy".into()),
                stderr_name: Some("errors".into()),
                ..code(&["cat", "-", "missing file"])
            },
        ],
        append_text: None,
        ..b.template("")
    };
    let submission = b.submission("d", &template).await?;
    let id = b.submit(&submission).await?;
    b.end_of(&id).await?;
    let directory = submission.working_directory;
    b.content(&format!("{directory}/a b.txt"), format!("{hostile}||").as_bytes()).await?;
    b.content(&format!("{directory}/copy"), format!("{hostile}||").as_bytes()).await?;
    let stat = b.session.stat(&format!("{directory}/errors")).await.done("stat of the error output")?;
    holds("the error output", stat.size > 0, "what cat complains of", &stat.size)
}

async fn runs_codes_in_parallel(b: &mut Bench) -> Outcome {
    // Each waits for what the other makes, so that one after the other would never end.
    let wait = |mine: &str, others: &str| {
        let line = format!("touch {mine}; until test -e {others}; do sleep 0.1; done; touch {mine}.done");
        code(&["sh", "-c", &line])
    };
    let template = JobTemplate {
        codes_run_mode: RunMode::Parallel,
        codes_info: vec![wait("one", "two"), wait("two", "one")],
        append_text: Some("ls".into()),
        ..b.template("")
    };
    let submission = b.submission("d", &template).await?;
    let id = b.submit(&submission).await?;
    b.end_of(&id).await?;
    let out = format!("{}/out.txt", submission.working_directory);
    let printed = b.session.read(&out, 0, None).await.done(format!("read of {out}"))?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let both = printed.contains("one.done") && printed.contains("two.done");
    holds("what is there once both have been waited for", both, "one.done and two.done", &printed)
}

async fn sets_the_environment(b: &mut Bench) -> Outcome {
    let value = "it's $HOME; `id` ü";
    let template = JobTemplate {
        job_environment: vec![("CONFORMANCE".into(), value.into())],
        ..b.template("printf '%s\\n' \"$CONFORMANCE\"")
    };
    let submission = b.submission("d", &template).await?;
    let id = b.submit(&submission).await?;
    b.end_of(&id).await?;
    b.printed(&submission.working_directory, &format!("{value}\n")).await
}
