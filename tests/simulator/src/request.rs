//! A request as handlers see it: decoded query, JSON body, and the checks that become a validation error.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value};

use crate::errors::{ApiError, FieldError, Origin, validation};
use crate::faults::FaultKind;

/// A request with its body read.
pub(crate) struct Request {
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) origin: Origin,
    /// What goes wrong inside the handler.
    pub(crate) fault: Option<FaultKind>,
}

impl Request {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A query parameter; the last one counts.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, where it is that.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(crate) fn check(&self) -> Check<'_> {
        Check { request: self, errors: Vec::new() }
    }
}

/// Collects what is wrong with a request's fields, as the server reports all of it at once.
pub(crate) struct Check<'a> {
    request: &'a Request,
    errors: Vec<FieldError>,
}

impl<'a> Check<'a> {
    pub(crate) fn error(&mut self, kind: &'static str, location: &[&str], message: &str, input: Value) {
        self.errors.push(FieldError {
            kind,
            location: location.iter().map(|part| (*part).to_owned()).collect(),
            message: message.to_owned(),
            input,
            context: None,
        });
    }

    pub(crate) fn error_with(&mut self, error: FieldError) {
        self.errors.push(error);
    }

    /// The verdict.
    pub(crate) fn done(self) -> Result<(), ApiError> {
        if self.errors.is_empty() { Ok(()) } else { Err(validation(&self.errors, &self.request.origin)) }
    }

    /// A required text in the query.
    pub(crate) fn text(&mut self, name: &'static str) -> String {
        match self.request.param(name) {
            Some(value) => value.to_owned(),
            None => {
                self.error("missing", &["query", name], "Field required", Value::Null);
                String::new()
            }
        }
    }

    /// A flag in the query, false unless given.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        let Some(value) = self.request.param(name) else {
            return false;
        };
        parse_bool(value).unwrap_or_else(|| {
            self.error(
                "bool_parsing",
                &["query", name],
                "Input should be a valid boolean, unable to interpret input",
                value.into(),
            );
            false
        })
    }

    /// An integer in the query.
    pub(crate) fn integer(&mut self, name: &'static str) -> Option<i64> {
        let value = self.request.param(name)?;
        match value.trim().parse() {
            Ok(number) => Some(number),
            Err(_) => {
                self.error(
                    "int_parsing",
                    &["query", name],
                    "Input should be a valid integer, unable to parse string as an integer",
                    value.into(),
                );
                None
            }
        }
    }

    /// The body as an object, or an error and an empty one.
    pub(crate) fn object(&mut self) -> Map<String, Value> {
        match self.request.json() {
            Some(Value::Object(map)) => map,
            Some(other) => {
                self.error(
                    "model_attributes_type",
                    &["body"],
                    "Input should be a valid dictionary or object to extract fields from",
                    other,
                );
                Map::new()
            }
            None => {
                self.error("missing", &["body"], "Field required", Value::Null);
                Map::new()
            }
        }
    }

    /// The first of some names that the object has. Errors name the first.
    fn field<'m>(object: &'m Map<String, Value>, names: &[&str]) -> Option<&'m Value> {
        names.iter().find_map(|name| object.get(*name))
    }

    /// A text in the body: by its alias or any other accepted name.
    pub(crate) fn body_text(
        &mut self,
        object: &Map<String, Value>,
        at: &[&str],
        names: &[&str],
        required: bool,
        nullable: bool,
    ) -> Option<String> {
        let mut location = at.to_vec();
        location.push(names[0]);
        match Self::field(object, names) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Null) if nullable => None,
            Some(other) => {
                self.error("string_type", &location, "Input should be a valid string", other.clone());
                None
            }
            None if required => {
                self.error("missing", &location, "Field required", Value::Object(object.clone()));
                None
            }
            None => None,
        }
    }

    /// A flag in the body, false unless given.
    pub(crate) fn body_flag(&mut self, object: &Map<String, Value>, names: &[&str]) -> bool {
        let location = ["body", names[0]];
        match Self::field(object, names) {
            None => false,
            Some(Value::Bool(value)) => *value,
            Some(Value::String(text)) if parse_bool(text).is_some() => parse_bool(text).unwrap_or_default(),
            Some(Value::Number(number)) if matches!(number.as_u64(), Some(0 | 1)) => number.as_u64() == Some(1),
            Some(other) => {
                let (kind, message) = if other.is_string() || other.is_number() {
                    ("bool_parsing", "Input should be a valid boolean, unable to interpret input")
                } else {
                    ("bool_type", "Input should be a valid boolean")
                };
                self.error(kind, &location, message, other.clone());
                false
            }
        }
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}

/// Decodes `%xx`; what is no UTF-8 becomes the replacement character.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match hex {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Decodes `a=b&c=d`, as in a query or a posted form.
pub(crate) fn parse_form(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(&key.replace('+', " ")), percent_decode(&value.replace('+', " ")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        assert_eq!(
            parse_form("path=%2Fa+b%2F%C3%A9&x&y=%zz"),
            vec![("path".into(), "/a b/é".into()), ("x".into(), String::new()), ("y".into(), "%zz".into())]
        );
    }
}
