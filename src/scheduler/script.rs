//! Renders a job template as a Slurm submit script.
//!
//! [`render`] promises the bytes that aiida-core 2.9.0 makes from the same template (`get_submit_script` of its `Slurm`
//! plugin), or an [`InvalidTemplate`]; it never panics. `script_golden.json` holds scripts that aiida-core itself made,
//! and a test compares with each.
//!
//! aiida-firecrest 1.0.0 has the same code but for one point, where this follows aiida-core: a `max_memory_kb` of 0
//! means "no limit" (`--mem=0`); aiida-firecrest leaves the line out, and the partition's default applies.
//!
//! Where AiiDA would write a script that means something else than the template, this refuses instead:
//!
//! - A line break or a NUL in a value for one header line (shebang, email, paths, queue, account, qos, priority): the
//!   rest of the value would become lines of its own. The job name needs no such check, for cleaning removes both.
//! - A variable name that is none to a shell: `A=1;reboot` would be a command.
//! - A NUL anywhere else: sbatch takes no script with it.
//!
//! What stays as AiiDA does it, since callers rely on it: header values are written as they are, without quotes; text
//! in double quotes is open to expansion by the shell (and to a backslash at its end); less than 1024 kB of memory
//! rounds down to 0, which Slurm reads as "no limit".

use super::template::{CodeInfo, CodesRunMode, InvalidTemplate, JobTemplate};

/// Slurm's documentation names no limit for a job's name; AiiDA stops here.
const JOB_NAME_LENGTH: usize = 128;

/// The complete submit script for a template.
///
/// When several fields are wrong, the error names the one whose line comes first.
pub fn render(template: &JobTemplate) -> Result<String, InvalidTemplate> {
    let mut lines = Vec::new();

    lines.push(match &template.shebang {
        Some(shebang) => one_line("shebang", shebang)?.to_owned(),
        None => "#!/bin/bash".to_owned(),
    });
    header(template, &mut lines)?;
    lines.push(String::new());

    if !template.job_environment.is_empty() {
        environment(template, &mut lines)?;
        lines.push(String::new());
    }
    if let Some(text) = text("prepend_text", &template.prepend_text)? {
        lines.push(text.to_owned());
        lines.push(String::new());
    }
    lines.push(run_lines(&template.codes_info, template.codes_run_mode)?);
    lines.push(String::new());
    if let Some(text) = text("append_text", &template.append_text)? {
        lines.push(text.to_owned());
        lines.push(String::new());
    }

    Ok(lines.join("\n"))
}

fn header(template: &JobTemplate, lines: &mut Vec<String>) -> Result<(), InvalidTemplate> {
    let mut sbatch = |option: String| lines.push(format!("#SBATCH {option}"));

    if template.submit_as_hold {
        sbatch("-H".into());
    }
    // Always said, for the default is the site's.
    sbatch(if template.rerunnable { "--requeue" } else { "--no-requeue" }.into());

    if let Some(email) = value("email", &template.email)? {
        sbatch(format!("--mail-user={email}"));
    }
    if template.email_on_started {
        sbatch("--mail-type=BEGIN".into());
    }
    if template.email_on_terminated {
        sbatch("--mail-type=FAIL".into());
        sbatch("--mail-type=END".into());
    }
    if let Some(name) = given(&template.job_name) {
        sbatch(format!("--job-name=\"{}\"", clean_job_name(name)));
    }
    if template.import_sys_environment {
        sbatch("--get-user-env".into());
    }

    if let Some(path) = value("sched_output_path", &template.sched_output_path)? {
        sbatch(format!("--output={path}"));
    }
    if !template.sched_join_files {
        // Without a file for errors Slurm writes them into the output's: joined, which was not asked for.
        let path = value("sched_error_path", &template.sched_error_path)?.unwrap_or("slurm-%j.err");
        sbatch(format!("--error={path}"));
    }

    if let Some(partition) = value("queue_name", &template.queue_name)? {
        sbatch(format!("--partition={partition}"));
    }
    if let Some(account) = value("account", &template.account)? {
        sbatch(format!("--account={account}"));
    }
    if let Some(qos) = value("qos", &template.qos)? {
        sbatch(format!("--qos={qos}"));
    }
    if let Some(priority) = value("priority", &template.priority)? {
        sbatch(format!("--nice={priority}"));
    }

    let resource = template.job_resource.as_ref().ok_or(InvalidTemplate::ResourceMissing)?.checked()?;
    sbatch(format!("--nodes={}", resource.num_machines));
    sbatch(format!("--ntasks-per-node={}", resource.num_mpiprocs_per_machine));
    if let Some(cores) = resource.num_cores_per_mpiproc.filter(|&cores| cores != 0) {
        sbatch(format!("--cpus-per-task={cores}"));
    }

    if let Some(seconds) = template.max_wallclock_seconds {
        if seconds < 1 {
            return Err(InvalidTemplate::WallTime { value: seconds });
        }
        sbatch(format!("--time={}", wall_time(seconds)));
    }
    if let Some(kilobytes) = template.max_memory_kb {
        if kilobytes < 0 {
            return Err(InvalidTemplate::Memory { value: kilobytes });
        }
        // Slurm counts in megabytes, for each node.
        sbatch(format!("--mem={}", kilobytes / 1024));
    }

    if let Some(commands) = text("custom_scheduler_commands", &template.custom_scheduler_commands)? {
        lines.push(commands.to_owned());
    }
    Ok(())
}

fn environment(template: &JobTemplate, lines: &mut Vec<String>) -> Result<(), InvalidTemplate> {
    lines.push("# ENVIRONMENT VARIABLES BEGIN ###".into());
    for (name, value) in &template.job_environment {
        let trimmed = name.trim();
        if !is_variable_name(trimmed) {
            return Err(InvalidTemplate::EnvironmentName { name: name.clone() });
        }
        no_nul(value, || format!("job_environment[{trimmed}]"))?;
        lines.push(format!("export {trimmed}={}", quote(value, template.environment_variables_double_quotes)));
    }
    lines.push("# ENVIRONMENT VARIABLES END ###".into());
    Ok(())
}

fn run_lines(codes: &[CodeInfo], mode: CodesRunMode) -> Result<String, InvalidTemplate> {
    let mut lines = codes
        .iter()
        .enumerate()
        .map(|(i, code)| run_line(i, code))
        .collect::<Result<Vec<String>, InvalidTemplate>>()?;
    Ok(match mode {
        CodesRunMode::Serial => lines.join("\n\n"),
        CodesRunMode::Parallel => {
            lines.push("wait\n".into());
            lines.join(" &\n\n")
        }
    })
}

fn run_line(index: usize, code: &CodeInfo) -> Result<String, InvalidTemplate> {
    let (outer_double, own_double) = code.use_double_quotes;

    let quoted = |field: &str, words: &[String], double: bool| {
        words
            .iter()
            .enumerate()
            .map(|(i, word)| {
                no_nul(word, || format!("codes_info[{index}].{field}[{i}]"))?;
                Ok(quote(word, double))
            })
            .collect::<Result<Vec<String>, InvalidTemplate>>()
    };
    // A redirection that is not asked for is an empty word and not a missing one: its separating space stays, and
    // within wrapped words it shows.
    let redirect = |field: &str, operator: &str, name: &Option<String>| {
        let Some(name) = given(name) else {
            return Ok(String::new());
        };
        no_nul(name, || format!("codes_info[{index}].{field}"))?;
        Ok::<_, InvalidTemplate>(format!("{operator} {}", quote(name, outer_double)))
    };

    let prepended = quoted("prepend_cmdline_params", &code.prepend_cmdline_params, outer_double)?.join(" ");
    let mut own = quoted("cmdline_params", &code.cmdline_params, own_double)?;
    own.push(redirect("stdin_name", "<", &code.stdin_name)?);
    own.push(redirect("stdout_name", ">", &code.stdout_name)?);
    own.push(if code.join_files { "2>&1".into() } else { redirect("stderr_name", "2>", &code.stderr_name)? });

    let mut own = own.join(" ");
    if code.wrap_cmdline_params {
        own = quote(&own, true);
    }
    // Every word ends in a quote or in "2>&1", so this takes separating spaces alone.
    Ok(format!("{prepended} {own}").trim().to_owned())
}

/// Makes a text one shell word. In single quotes it means exactly itself; in double quotes the shell expands it.
fn quote(word: &str, double: bool) -> String {
    // A quote of the same kind closes the word, stands in quotes of the other kind, and opens the word again.
    if double {
        format!("\"{}\"", word.replace('"', "\"'\"'\""))
    } else {
        format!("'{}'", word.replace('\'', "'\"'\"'"))
    }
}

/// Keeps ASCII letters, digits, `_`, `.` and `-`; puts a `j` first unless a letter or digit is; cuts.
fn clean_job_name(name: &str) -> String {
    let is_kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let mut kept = name.chars().filter(is_kept).peekable();
    let prefix = kept.peek().is_none_or(|first| !first.is_ascii_alphanumeric()).then_some('j');
    prefix.into_iter().chain(kept).take(JOB_NAME_LENGTH).collect()
}

/// `HH:MM:SS`, or `D-HH:MM:SS` from one day on.
fn wall_time(seconds: i64) -> String {
    let (days, hours, minutes, seconds) = (seconds / 86400, seconds % 86400 / 3600, seconds % 3600 / 60, seconds % 60);
    let clock = format!("{hours:02}:{minutes:02}:{seconds:02}");
    if days == 0 { clock } else { format!("{days}-{clock}") }
}

fn is_variable_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A text that is there and not empty: AiiDA takes an empty one as not given.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// A given value for one line of the header.
fn value<'a>(field: &'static str, text: &'a Option<String>) -> Result<Option<&'a str>, InvalidTemplate> {
    given(text).map(|text| one_line(field, text)).transpose()
}

/// A given text of any number of lines.
fn text<'a>(field: &'static str, text: &'a Option<String>) -> Result<Option<&'a str>, InvalidTemplate> {
    let text = given(text);
    if let Some(text) = text {
        no_nul(text, || field.to_owned())?;
    }
    Ok(text)
}

fn one_line<'a>(field: &'static str, text: &'a str) -> Result<&'a str, InvalidTemplate> {
    if text.contains(['\n', '\r', '\0']) {
        return Err(InvalidTemplate::NotOneLine { field, value: text.to_owned() });
    }
    Ok(text)
}

fn no_nul(text: &str, field: impl FnOnce() -> String) -> Result<(), InvalidTemplate> {
    if text.contains('\0') { Err(InvalidTemplate::NulCharacter { field: field() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::super::template::JobResource;
    use super::*;

    /// Cases as aiida-core 2.9.0 and aiida-firecrest 1.0.0 rendered them: `expected`, the script of aiida-core, or
    /// `error`, its message. `refused` names the field that this module refuses although AiiDA writes it out, and
    /// `aiida_firecrest_*` is what aiida-firecrest makes of it, where that differs.
    const GOLDEN: &str = include_str!("script_golden.json");

    fn golden() -> Vec<Value> {
        serde_json::from_str(GOLDEN).unwrap()
    }

    /// Takes a field out of a golden object, so that what is left over is a field nobody read.
    struct Fields(Map<String, Value>);

    impl Fields {
        fn of(value: Value) -> Self {
            Self(serde_json::from_value(value).unwrap())
        }

        fn take<T: serde::de::DeserializeOwned>(&mut self, name: &str) -> Option<T> {
            self.0.remove(name).map(|value| serde_json::from_value(value).unwrap_or_else(|e| panic!("{name}: {e}")))
        }

        fn or_default<T: serde::de::DeserializeOwned + Default>(&mut self, name: &str) -> T {
            self.take(name).unwrap_or_default()
        }

        fn all_read(self) {
            assert!(self.0.is_empty(), "unread: {:?}", self.0);
        }
    }

    fn template(value: &Value) -> JobTemplate {
        let mut f = Fields::of(value.clone());
        let template = JobTemplate {
            shebang: f.take("shebang"),
            submit_as_hold: f.or_default("submit_as_hold"),
            rerunnable: f.or_default("rerunnable"),
            job_environment: f.or_default("job_environment"),
            environment_variables_double_quotes: f.or_default("environment_variables_double_quotes"),
            working_directory: f.take("working_directory"),
            email: f.take("email"),
            email_on_started: f.or_default("email_on_started"),
            email_on_terminated: f.or_default("email_on_terminated"),
            job_name: f.take("job_name"),
            sched_output_path: f.take("sched_output_path"),
            sched_error_path: f.take("sched_error_path"),
            sched_join_files: f.or_default("sched_join_files"),
            queue_name: f.take("queue_name"),
            account: f.take("account"),
            qos: f.take("qos"),
            job_resource: f.take("job_resource").map(resource),
            priority: f.take("priority"),
            max_memory_kb: f.take("max_memory_kb"),
            max_wallclock_seconds: f.take("max_wallclock_seconds"),
            custom_scheduler_commands: f.take("custom_scheduler_commands"),
            prepend_text: f.take("prepend_text"),
            append_text: f.take("append_text"),
            import_sys_environment: f.or_default("import_sys_environment"),
            codes_run_mode: match f.take::<String>("codes_run_mode").as_deref() {
                None | Some("serial") => CodesRunMode::Serial,
                Some("parallel") => CodesRunMode::Parallel,
                Some(other) => panic!("{other}"),
            },
            codes_info: f.or_default::<Vec<Value>>("codes_info").into_iter().map(code).collect(),
        };
        f.all_read();
        template
    }

    fn resource(value: Value) -> JobResource {
        let mut f = Fields::of(value);
        let resource = JobResource {
            num_machines: f.take("num_machines"),
            num_mpiprocs_per_machine: f.take("num_mpiprocs_per_machine"),
            num_cores_per_machine: f.take("num_cores_per_machine"),
            num_cores_per_mpiproc: f.take("num_cores_per_mpiproc"),
            tot_num_mpiprocs: f.take("tot_num_mpiprocs"),
        };
        f.all_read();
        resource
    }

    fn code(value: Value) -> CodeInfo {
        let mut f = Fields::of(value);
        let code = CodeInfo {
            prepend_cmdline_params: f.or_default("prepend_cmdline_params"),
            cmdline_params: f.or_default("cmdline_params"),
            use_double_quotes: f.or_default("use_double_quotes"),
            wrap_cmdline_params: f.or_default("wrap_cmdline_params"),
            stdin_name: f.take("stdin_name"),
            stdout_name: f.take("stdout_name"),
            stderr_name: f.take("stderr_name"),
            join_files: f.or_default("join_files"),
        };
        f.all_read();
        code
    }

    #[test]
    fn every_script_is_the_one_that_aiida_makes() {
        let (mut same, mut refused_by_both, mut refused_here) = (0, 0, 0);
        for case in golden() {
            let name = case["name"].as_str().unwrap();
            let rendered = render(&template(&case["template"]));
            match (case["expected"].as_str(), case["refused"].as_str()) {
                (Some(expected), None) => {
                    assert_eq!(rendered.as_deref(), Ok(expected), "{name}");
                    same += 1;
                }
                (Some(_), Some(field)) => {
                    let message = rendered.expect_err(name).to_string();
                    assert!(message.contains(field), "{name}: {message}");
                    refused_here += 1;
                }
                (None, _) => {
                    // The two messages are worded differently, but are about the same field.
                    let theirs = case["error"].as_str().expect(name);
                    let field = theirs.split(|c: char| c != '_' && !c.is_ascii_alphabetic()).find(|w| w.contains('_'));
                    let ours = rendered.expect_err(name).to_string();
                    assert!(ours.contains(field.unwrap()), "{name}: {ours} / {theirs}");
                    refused_by_both += 1;
                }
            }
        }
        assert_eq!((same, refused_by_both, refused_here), (78, 16, 19), "cases were lost or added");
    }

    #[test]
    fn zero_memory_is_all_that_aiida_firecrest_writes_otherwise() {
        let differing: Vec<_> = golden()
            .iter()
            .filter(|case| case.get("aiida_firecrest_expected").is_some())
            .map(|case| case["template"]["max_memory_kb"].clone())
            .collect();
        assert_eq!(differing, [0]);
    }

    #[test]
    fn the_first_wrong_line_is_reported() {
        let all_wrong = JobTemplate {
            qos: Some("a\nb".into()),
            max_wallclock_seconds: Some(0),
            max_memory_kb: Some(-1),
            ..JobTemplate::default()
        };
        assert_eq!(render(&all_wrong), Err(InvalidTemplate::NotOneLine { field: "qos", value: "a\nb".into() }));
        let rest_wrong = JobTemplate { qos: None, ..all_wrong };
        assert_eq!(render(&rest_wrong), Err(InvalidTemplate::ResourceMissing));
    }

    #[test]
    fn a_secret_value_stays_out_of_the_message() {
        let template = JobTemplate {
            job_resource: Some(one_node()),
            job_environment: vec![("TOKEN".into(), "hunter2\0".into())],
            ..JobTemplate::default()
        };
        let message = render(&template).unwrap_err().to_string();
        assert!(message.contains("job_environment[TOKEN]") && !message.contains("hunter2"), "{message}");
    }

    fn one_node() -> JobResource {
        JobResource { num_machines: Some(1), num_mpiprocs_per_machine: Some(1), ..JobResource::default() }
    }

    /// Reads shell words as POSIX says, as far as quoting goes: `None` where a quote stays open or where the shell
    /// would do more than unquote.
    fn shell_words(line: &str) -> Option<Vec<String>> {
        let (mut words, mut word) = (Vec::new(), None::<String>);
        let mut characters = line.chars();
        while let Some(c) = characters.next() {
            match c {
                ' ' => words.extend(word.take()),
                '\'' | '"' => {
                    let word = word.get_or_insert_default();
                    loop {
                        match characters.next()? {
                            end if end == c => break,
                            '$' | '`' | '\\' if c == '"' => return None,
                            inside => word.push(inside),
                        }
                    }
                }
                // Outside quotes, only what no shell treats specially.
                c if c.is_ascii_alphanumeric() => word.get_or_insert_default().push(c),
                _ => return None,
            }
        }
        words.extend(word);
        Some(words)
    }

    /// Text that provokes: quotes, line breaks, what shells expand, and anything else.
    fn nasty() -> impl Strategy<Value = String> {
        prop_oneof![
            r#"[a-c'"$`\\ !#*&;|<>()\n\r\t~=-]{0,12}"#,
            any::<String>(),
            Just("'".to_owned()),
            Just(r#"'"'"'"#.to_owned()),
            Just("\0".to_owned()),
        ]
    }

    fn maybe() -> impl Strategy<Value = Option<String>> {
        prop::option::of(nasty())
    }

    fn number() -> impl Strategy<Value = Option<i64>> {
        prop::option::of(prop_oneof![0..9i64, any::<i64>()])
    }

    prop_compose! {
        fn codes()(
            prepend_cmdline_params in prop::collection::vec(nasty(), 0..3),
            cmdline_params in prop::collection::vec(nasty(), 0..3),
            use_double_quotes: (bool, bool),
            wrap_cmdline_params: bool,
            files in (maybe(), maybe(), maybe()),
            join_files: bool,
        ) -> CodeInfo {
            let (stdin_name, stdout_name, stderr_name) = files;
            CodeInfo {
                prepend_cmdline_params,
                cmdline_params,
                use_double_quotes,
                wrap_cmdline_params,
                stdin_name,
                stdout_name,
                stderr_name,
                join_files,
            }
        }
    }

    prop_compose! {
        fn templates()(
            flags: [bool; 8],
            texts in prop::collection::vec(maybe(), 13),
            job_environment in prop::collection::vec(("[A-Z ]{0,3}|.{0,3}", nasty()), 0..3),
            numbers in prop::collection::vec(number(), 7),
            with_resource: bool,
            codes_info in prop::collection::vec(codes(), 0..3),
        ) -> JobTemplate {
            let [hold, rerunnable, double, started, terminated, join, environment, parallel] = flags;
            let mut texts = texts.into_iter();
            let mut text = || texts.next().unwrap();
            let given = JobResource {
                num_machines: numbers[0],
                num_mpiprocs_per_machine: numbers[1],
                num_cores_per_machine: numbers[2],
                num_cores_per_mpiproc: numbers[3],
                tot_num_mpiprocs: numbers[4],
            };
            JobTemplate {
                shebang: text(),
                submit_as_hold: hold,
                rerunnable,
                job_environment,
                environment_variables_double_quotes: double,
                working_directory: text(),
                email: text(),
                email_on_started: started,
                email_on_terminated: terminated,
                job_name: text(),
                sched_output_path: text(),
                sched_error_path: text(),
                sched_join_files: join,
                queue_name: text(),
                account: text(),
                qos: text(),
                job_resource: with_resource.then_some(given),
                priority: text(),
                max_memory_kb: numbers[5],
                max_wallclock_seconds: numbers[6],
                custom_scheduler_commands: text(),
                prepend_text: text(),
                append_text: text(),
                import_sys_environment: environment,
                codes_run_mode: if parallel { CodesRunMode::Parallel } else { CodesRunMode::Serial },
                codes_info,
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(template in templates()) {
            match render(&template) {
                Ok(script) => prop_assert!(script.ends_with('\n') && !script.contains('\0')),
                Err(error) => prop_assert!(!error.to_string().contains('\n')),
            }
        }

        /// Whatever the header's values are, the header has no line that the template did not ask for.
        #[test]
        fn no_value_adds_a_line(template in templates()) {
            let template = JobTemplate {
                job_resource: Some(one_node()),
                max_wallclock_seconds: Some(60),
                max_memory_kb: Some(1024),
                custom_scheduler_commands: None,
                prepend_text: None,
                append_text: None,
                job_environment: Vec::new(),
                codes_info: Vec::new(),
                codes_run_mode: CodesRunMode::Serial,
                ..template
            };
            if let Ok(script) = render(&template) {
                let (shebang, rest) = script.split_once('\n').unwrap();
                prop_assert_eq!(shebang, template.shebang.as_deref().unwrap_or("#!/bin/bash"));
                let header = rest.strip_suffix("\n\n\n").unwrap();
                prop_assert!(header.split(['\n', '\r']).all(|line| line.starts_with("#SBATCH -")), "{}", header);
            }
        }

        #[test]
        fn single_quotes_keep_every_word(words in prop::collection::vec(nasty(), 0..5)) {
            let line = words.iter().map(|word| quote(word, false)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(shell_words(&line), Some(words));
        }

        #[test]
        fn double_quotes_keep_every_word_that_the_shell_does_not_expand(
            words in prop::collection::vec("[^$`\\\\]{0,12}", 0..5),
        ) {
            let line = words.iter().map(|word| quote(word, true)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(shell_words(&line), Some(words));
        }

        #[test]
        fn wrapping_makes_one_word_that_holds_the_words(words in prop::collection::vec("[a-c '\"\n]{0,8}", 0..4)) {
            let code = CodeInfo {
                cmdline_params: words.clone(),
                wrap_cmdline_params: true,
                ..CodeInfo::default()
            };
            let outer = shell_words(&run_line(0, &code).unwrap()).unwrap();
            prop_assert_eq!(outer.len(), 1);
            prop_assert_eq!(shell_words(&outer[0]), Some(words));
        }

        #[test]
        fn a_job_name_is_clean_short_and_stable(name in nasty()) {
            let clean = clean_job_name(&name);
            prop_assert!((1..=JOB_NAME_LENGTH).contains(&clean.len()));
            prop_assert!(clean.starts_with(|c: char| c.is_ascii_alphanumeric()));
            prop_assert_eq!(clean_job_name(&clean), clean);
        }

        #[test]
        fn a_wall_time_adds_up(seconds in 1..=i64::MAX) {
            let time = wall_time(seconds);
            let (days, clock) = time.split_once('-').unwrap_or(("0", &time));
            let parts: Vec<i64> = clock.split(':').map(|part| part.parse().unwrap()).collect();
            let [hours, minutes, rest] = parts[..] else { panic!("{time}") };
            let days: i128 = days.parse().unwrap();
            prop_assert_eq!(days * 86400 + i128::from(hours * 3600 + minutes * 60 + rest), i128::from(seconds));
            prop_assert!(hours < 24 && minutes < 60 && rest < 60);
        }
    }
}
