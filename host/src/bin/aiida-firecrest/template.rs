//! AiiDA's `JobTemplate` as JSON: the field names and defaults of aiida-core's `schedulers/datastructures.py`.
//!
//! `job_environment` is an object (its order counts) or a list of pairs; `codes_run_mode` is AiiDA's number (0 serial, 1 parallel)
//! or the word. A field that AiiDA does not have is an error: it would be a typing mistake.

use aiida_firecrest_host::scheduler::{CodeInfo, JobResource, JobTemplate, RunMode};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Reads a template.
pub(crate) fn parse(text: &str) -> Result<JobTemplate, String> {
    // serde would take a list for the fields in order.
    if !text.trim_start().starts_with('{') {
        return Err("a template is a JSON object".into());
    }
    serde_json::from_str::<Template>(text).map(Into::into).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Template {
    shebang: Option<String>,
    submit_as_hold: bool,
    rerunnable: bool,
    #[serde(deserialize_with = "pairs")]
    job_environment: Vec<(String, String)>,
    environment_variables_double_quotes: bool,
    working_directory: Option<String>,
    email: Option<String>,
    email_on_started: bool,
    email_on_terminated: bool,
    job_name: Option<String>,
    sched_output_path: Option<String>,
    sched_error_path: Option<String>,
    sched_join_files: bool,
    queue_name: Option<String>,
    account: Option<String>,
    qos: Option<String>,
    job_resource: Option<Resource>,
    #[serde(deserialize_with = "text_or_number")]
    priority: Option<String>,
    max_memory_kb: Option<i64>,
    max_wallclock_seconds: Option<i64>,
    custom_scheduler_commands: Option<String>,
    prepend_text: Option<String>,
    append_text: Option<String>,
    import_sys_environment: bool,
    #[serde(deserialize_with = "run_mode")]
    codes_run_mode: RunMode,
    codes_info: Vec<Code>,
}

impl Default for Template {
    fn default() -> Template {
        Template {
            shebang: None,
            submit_as_hold: false,
            rerunnable: false,
            job_environment: Vec::new(),
            environment_variables_double_quotes: false,
            working_directory: None,
            email: None,
            email_on_started: false,
            email_on_terminated: false,
            job_name: None,
            sched_output_path: None,
            sched_error_path: None,
            sched_join_files: false,
            queue_name: None,
            account: None,
            qos: None,
            job_resource: None,
            priority: None,
            max_memory_kb: None,
            max_wallclock_seconds: None,
            custom_scheduler_commands: None,
            prepend_text: None,
            append_text: None,
            import_sys_environment: true,
            codes_run_mode: RunMode::Serial,
            codes_info: Vec::new(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Resource {
    num_machines: Option<i64>,
    num_mpiprocs_per_machine: Option<i64>,
    num_cores_per_machine: Option<i64>,
    num_cores_per_mpiproc: Option<i64>,
    tot_num_mpiprocs: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Code {
    prepend_cmdline_params: Vec<String>,
    cmdline_params: Vec<String>,
    use_double_quotes: Option<(bool, bool)>,
    wrap_cmdline_params: bool,
    stdin_name: Option<String>,
    stdout_name: Option<String>,
    stderr_name: Option<String>,
    join_files: bool,
}

impl From<Template> for JobTemplate {
    fn from(t: Template) -> JobTemplate {
        JobTemplate {
            shebang: t.shebang,
            submit_as_hold: t.submit_as_hold,
            rerunnable: t.rerunnable,
            job_environment: t.job_environment,
            environment_variables_double_quotes: t.environment_variables_double_quotes,
            working_directory: t.working_directory,
            email: t.email,
            email_on_started: t.email_on_started,
            email_on_terminated: t.email_on_terminated,
            job_name: t.job_name,
            sched_output_path: t.sched_output_path,
            sched_error_path: t.sched_error_path,
            sched_join_files: t.sched_join_files,
            queue_name: t.queue_name,
            account: t.account,
            qos: t.qos,
            job_resource: t.job_resource.map(|r| JobResource {
                num_machines: r.num_machines,
                num_mpiprocs_per_machine: r.num_mpiprocs_per_machine,
                num_cores_per_machine: r.num_cores_per_machine,
                num_cores_per_mpiproc: r.num_cores_per_mpiproc,
                tot_num_mpiprocs: r.tot_num_mpiprocs,
            }),
            priority: t.priority,
            max_memory_kb: t.max_memory_kb,
            max_wallclock_seconds: t.max_wallclock_seconds,
            custom_scheduler_commands: t.custom_scheduler_commands,
            prepend_text: t.prepend_text,
            append_text: t.append_text,
            import_sys_environment: t.import_sys_environment,
            codes_run_mode: t.codes_run_mode,
            codes_info: t.codes_info.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Code> for CodeInfo {
    fn from(c: Code) -> CodeInfo {
        CodeInfo {
            prepend_cmdline_params: c.prepend_cmdline_params,
            cmdline_params: c.cmdline_params,
            use_double_quotes: c.use_double_quotes.unwrap_or_default(),
            wrap_cmdline_params: c.wrap_cmdline_params,
            stdin_name: c.stdin_name,
            stdout_name: c.stdout_name,
            stderr_name: c.stderr_name,
            join_files: c.join_files,
        }
    }
}

/// serde_json's own map would sort the names.
fn pairs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of variables, or a list of [name, value]")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = list.next_element()? {
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    deserializer.deserialize_any(Pairs)
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(i64),
    }
    Ok(Option::<Either>::deserialize(deserializer)?.map(|either| match either {
        Either::Text(text) => text,
        Either::Number(number) => number.to_string(),
    }))
}

fn run_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RunMode, D::Error> {
    match text_or_number(deserializer)?.map(|text| text.to_lowercase()).as_deref() {
        None | Some("0" | "serial") => Ok(RunMode::Serial),
        Some("1" | "parallel") => Ok(RunMode::Parallel),
        Some(_) => Err(D::Error::custom("codes_run_mode is 0 or serial, 1 or parallel")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_aiidas_fields_defaults_and_order() {
        let template = parse(
            r#"{"job_environment": {"Z": "1", "A": "2"}, "priority": 5, "codes_run_mode": 1, "job_resource": {"num_machines": 1},
                "codes_info": [{"cmdline_params": ["ls"], "use_double_quotes": [true, false]}]}"#,
        )
        .unwrap();
        assert_eq!(template.job_environment, [("Z".to_owned(), "1".to_owned()), ("A".to_owned(), "2".to_owned())]);
        assert_eq!(template.priority.as_deref(), Some("5"));
        assert!(matches!(template.codes_run_mode, RunMode::Parallel));
        assert!(template.import_sys_environment);
        assert_eq!(template.codes_info[0].use_double_quotes, (true, false));
    }

    #[test]
    fn a_mistyped_field_is_named() {
        assert!(parse(r#"{"quue_name": "x"}"#).unwrap_err().contains("quue_name"));
        assert!(parse(r#"{"codes_run_mode": 7}"#).is_err());
        assert!(parse("[]").is_err());
    }
}
