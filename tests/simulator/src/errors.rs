//! Error answers as the recorded server words them: one body shape, a status, and the quirks (who is named in it, whether
//! the connection survives it).

use serde::Serialize;
use serde_json::{Value, json};

use crate::request::Request;
use crate::routes::Endpoint;

/// What goes wrong in a handler, ready to be turned into an answer.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) validation: bool,
    pub(crate) message: String,
    pub(crate) caused_by: Option<Vec<String>>,
    pub(crate) data: Option<Value>,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// An exception that the real server does not handle: nobody is named as user, and the connection ends afterwards.
    pub(crate) unhandled: bool,
    /// The connection ends without saying so once the answer is out.
    pub(crate) drop_connection: bool,
}

/// What the tools of a full file system say. None for what writes nothing; an upload says it for itself.
pub(crate) fn disk_full(endpoint: Endpoint, request: &Request) -> Option<ApiError> {
    let body = request.json().unwrap_or_default();
    let field =
        |names: [&str; 2]| names.iter().find_map(|name| body.get(name)?.as_str()).unwrap_or_default().to_owned();
    let text = match endpoint {
        Endpoint::Mkdir => {
            format!("mkdir: cannot create directory '{}': {NO_SPACE}", field(["path", "sourcePath"]))
        }
        Endpoint::Symlink => {
            format!("ln: failed to create symbolic link '{}': {NO_SPACE}", field(["linkPath", "link_path"]))
        }
        Endpoint::Compress => {
            let target = field(["targetPath", "target_path"]);
            format!("tar: {target}: Cannot write: {NO_SPACE}\ntar: Error is not recoverable: exiting now")
        }
        Endpoint::Extract => {
            format!("tar: file: Cannot write: {NO_SPACE}\ntar: Exiting with failure status due to previous errors")
        }
        _ => return None,
    };
    Some(ApiError::remote(if text.starts_with("tar") { 2 } else { 1 }, &text))
}

/// strerror(ENOSPC).
pub(crate) const NO_SPACE: &str = "No space left on device";

/// The error body, in the server's key order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    error_type: &'static str,
    message: &'a str,
    caused_by: &'a Option<Vec<String>>,
    data: &'a Option<Value>,
    user: Option<&'a str>,
}

impl ApiError {
    /// A plain error with a status and a message.
    pub(crate) fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            validation: false,
            message: message.into(),
            caused_by: None,
            data: None,
            headers: Vec::new(),
            unhandled: false,
            drop_connection: false,
        }
    }

    /// An uncaught Python exception: its arguments' text is the message.
    pub(crate) fn unhandled(message: impl Into<String>) -> Self {
        Self { unhandled: true, drop_connection: true, ..Self::new(500, message) }
    }

    /// The command over its time limit.
    pub(crate) fn timeout() -> Self {
        Self::new(408, "Command execution timeout limit exceeded.")
    }

    /// A command's output over the buffer limit.
    pub(crate) fn output_limit() -> Self {
        Self::new(413, "Command output exceeded buffer limit.")
    }

    /// A Slurm command that failed.
    pub(crate) fn slurm(exit_status: i32, stderr: &str) -> Self {
        Self::new(500, slurm_text(exit_status, stderr))
    }

    /// A Slurm query (squeue, sacct) that failed: the text is one level down.
    pub(crate) fn slurm_query(exit_status: i32, stderr: &str) -> Self {
        Self {
            caused_by: Some(vec![slurm_text(exit_status, stderr)]),
            ..Self::new(500, "Error executing Slurm command.")
        }
    }

    /// A remote command that failed, with the status that its error text stands for.
    pub(crate) fn remote(exit_status: i32, stderr: &str) -> Self {
        let mut message = format!("Remote process failed with exit status:{exit_status}");
        if !stderr.is_empty() {
            message.push_str(" and error message:");
            message.push_str(stderr.trim());
        }
        let status = if exit_status == 124 {
            408
        } else if stderr.contains("No such file or directory") {
            404
        } else if stderr.contains("Permission denied") || stderr.contains("Operation not permitted") {
            403
        } else if stderr.contains("File exists") || stderr.contains("invalid user") {
            400
        } else {
            500
        };
        Self::new(status, message)
    }

    /// Adds a header to the answer.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Ends the connection after the answer.
    pub(crate) fn dropping(mut self) -> Self {
        self.drop_connection = true;
        self
    }

    /// The answer's body; `user` is who asked, where that is known.
    pub(crate) fn body(&self, user: Option<&str>) -> Vec<u8> {
        let body = Body {
            error_type: if self.validation { "validation" } else { "error" },
            message: &self.message,
            caused_by: &self.caused_by,
            data: &self.data,
            user: if self.unhandled { None } else { user },
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

fn slurm_text(exit_status: i32, stderr: &str) -> String {
    format!("Unexpected Slurm command response. exit_status:{exit_status} std_err:{stderr}")
}

/// One rejected field of a request.
#[derive(Debug)]
pub(crate) struct FieldError {
    /// The validator's name for the error, such as `missing`.
    pub(crate) kind: &'static str,
    /// Where it is: `body` or `query` or `path`, then the keys down to it.
    pub(crate) location: Vec<String>,
    /// What is wrong.
    pub(crate) message: String,
    /// What was given.
    pub(crate) input: Value,
    /// What the rule was, where the validator says.
    pub(crate) context: Option<(&'static str, Value)>,
}

impl FieldError {
    fn python(&self) -> String {
        let mut location: String = self
            .location
            .iter()
            .map(|part| if part.chars().all(|c| c.is_ascii_digit()) { part.clone() } else { python_string(part) })
            .collect::<Vec<_>>()
            .join(", ");
        if self.location.len() == 1 {
            location.push(',');
        }
        let mut text = format!(
            "{{'type': {}, 'loc': ({location}), 'msg': {}, 'input': {}",
            python_string(self.kind),
            python_string(&self.message),
            python_repr(&self.input),
        );
        if let Some((key, value)) = &self.context {
            text.push_str(&format!(", 'ctx': {{{}: {}}}", python_string(key), python_repr(value)));
        }
        text.push('}');
        text
    }
}

/// Where a route is declared in the real server: its validation errors end with that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) function: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
}

/// The 400 for rejected fields.
pub(crate) fn validation(errors: &[FieldError], origin: &Origin) -> ApiError {
    let count = errors.len();
    let mut text = format!("{count} validation error{}:\n", if count == 1 { "" } else { "s" });
    for error in errors {
        text.push_str(&format!("  {}\n", error.python()));
    }
    text.push_str(&format!(
        "\n  File \"{}\", line {}, in {}\n    {} {}",
        origin.file, origin.line, origin.function, origin.method, origin.path
    ));
    let fields: Vec<Value> = errors
        .iter()
        .map(|error| {
            json!({
                "location": error.location.first(),
                "name": error.location.get(1),
                "message": error.message,
            })
        })
        .collect();
    ApiError {
        validation: true,
        data: Some(json!({ "fields": fields })),
        // The server hands the text to Python's capitalize(), which makes all the rest lower case.
        ..ApiError::new(400, text.to_lowercase())
    }
}

/// A value as Python prints it.
fn python_repr(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => python_string(text),
        Value::Array(items) => format!("[{}]", items.iter().map(python_repr).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => format!(
            "{{{}}}",
            map.iter()
                .map(|(key, value)| format!("{}: {}", python_string(key), python_repr(value)))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}

fn python_string(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_errors_get_the_status_of_their_text() {
        let cases = [
            (1, "stat: cannot statx '/x': No such file or directory\n", 404),
            (2, "ls: cannot open directory '/x': Permission denied\n", 403),
            (1, "chown: changing ownership of '/x': Operation not permitted", 403),
            (1, "mkdir: cannot create directory '/x': File exists", 400),
            (1, "chown: invalid user: 'x:'", 400),
            (124, "", 408),
            (1, "base64: read error: Is a directory", 500),
        ];
        for (exit, text, status) in cases {
            assert_eq!(ApiError::remote(exit, text).status, status, "{text}");
        }
    }

    #[test]
    fn validation_text_is_the_recorded_one() {
        let error = validation(
            &[FieldError {
                kind: "string_pattern_mismatch",
                location: vec!["path".into(), "job_id".into()],
                message: "String should match pattern '^[a-zA-Z0-9]+$'".into(),
                input: json!("12_3"),
                context: Some(("pattern", "^[a-zA-Z0-9]+$".into())),
            }],
            &Origin {
                file: "firecrest/compute/router.py",
                line: 117,
                function: "get_job",
                method: "GET",
                path: "/compute/{system_name}/jobs/{job_id}",
            },
        );
        assert_eq!(
            error.message,
            "1 validation error:\n  {'type': 'string_pattern_mismatch', 'loc': ('path', 'job_id'), 'msg': \"string should match pattern '^[a-za-z0-9]+$'\", 'input': '12_3', 'ctx': {'pattern': '^[a-za-z0-9]+$'}}\n\n  file \"firecrest/compute/router.py\", line 117, in get_job\n    get /compute/{system_name}/jobs/{job_id}"
        );
    }
}
