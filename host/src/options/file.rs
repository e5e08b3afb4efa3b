//! The text of a configuration file. Nothing but serde_json is used here, so that it is fuzzed by itself (`tests/fuzz/targets/config.rs`).

use serde_json::Value;

/// Names and values; or what is wrong, in words that show nothing of the text: it can hold a secret.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        // serde_json's own message can quote the text.
        let what = if error.is_eof() { "ends too early" } else { "is no valid JSON" };
        format!("the configuration {what} (line {}, column {})", error.line(), error.column())
    })?;
    let Value::Object(members) = value else {
        return Err("the configuration is no JSON object of option names and values".into());
    };
    let text_of = |value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    Ok(members.into_iter().filter_map(|(name, value)| Some((name, text_of(value)?))).collect())
}
