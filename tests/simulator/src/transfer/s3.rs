//! Upload and download through the object store: the answer holds presigned URLs, and a job moves the object to or from the
//! file system.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::errors::{ApiError, FieldError};
use crate::files::PATH;
use crate::knobs::{Service, TransferKeys};
use crate::paths::split;
use crate::request::{Check, Request};
use crate::router::Answer;
use crate::routes::Endpoint;
use crate::s3::Action;
use crate::state::Ctx;
use crate::transfer::scripts::{Ingress, Outgress};
use crate::transfer::{escape, fill_in, shell, start};

/// What is asked for.
struct Order {
    path: String,
    account: Option<String>,
    method: String,
    size: Option<i64>,
}

pub(super) async fn handle(ctx: &Ctx, endpoint: Endpoint, request: &Request, user: &str) -> Result<Answer, ApiError> {
    let order = read(request)?;
    if order.method != "s3" || !ctx.system.object_store {
        return Err(ApiError::new(400, "Requested transfer method is not available."));
    }
    ctx.need_key(user)?;
    if endpoint == Endpoint::TransferUpload { upload(ctx, &order).await } else { download(ctx, &order).await }
}

fn read(request: &Request) -> Result<Order, ApiError> {
    let mut check = request.check();
    let body = check.object();
    let path = check.body_text(&body, &["body"], PATH, true, true);
    let account = check.body_text(&body, &["body"], &["account"], false, true);
    let directives = body.get("transferDirectives").or_else(|| body.get("transfer_directives"));
    let mut method = String::new();
    let mut size = None;
    match directives {
        None => check.error("missing", &["body", "transferDirectives"], "Field required", Value::Object(body.clone())),
        Some(directives) => {
            let given = directives.get("transferMethod").or_else(|| directives.get("transfer_method"));
            match given.and_then(Value::as_str) {
                Some(name @ ("s3" | "streamer" | "wormhole")) => method = name.to_owned(),
                _ => {
                    let expected = "'s3', 'wormhole' or 'streamer'";
                    check.error_with(FieldError {
                        kind: "literal_error",
                        location: ["body", "transferDirectives", "transferMethod"].map(str::to_owned).to_vec(),
                        message: format!("Input should be {expected}"),
                        input: given.cloned().unwrap_or(Value::Null),
                        context: Some(("expected", expected.into())),
                    });
                }
            }
            if let Some(given) = directives.get("fileSize").or_else(|| directives.get("file_size")) {
                size = integer(&mut check, given);
            }
        }
    }
    check.done()?;
    Ok(Order { path: path.unwrap_or_default(), account, method, size })
}

/// A whole number, as the server's models take one.
fn integer(check: &mut Check<'_>, value: &Value) -> Option<i64> {
    let (kind, message) = match value {
        Value::Null => return None,
        Value::Number(number) => match number.as_i64() {
            Some(number) => return Some(number),
            #[expect(clippy::cast_possible_truncation, reason = "whole, and far within the range")]
            None => match number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15) {
                Some(number) => return Some(number as i64),
                None => ("int_from_float", "Input should be a valid integer, got a number with a fractional part"),
            },
        },
        Value::String(text) => match text.trim().parse() {
            Ok(number) => return Some(number),
            Err(_) => ("int_parsing", "Input should be a valid integer, unable to parse string as an integer"),
        },
        Value::Bool(flag) => return Some(i64::from(*flag)),
        _ => ("int_type", "Input should be a valid integer"),
    };
    check.error(kind, &["body", "transferDirectives", "s3", "fileSize"], message, value.clone());
    None
}

/// An object that is to be, and its URLs.
struct Planned<'a> {
    ctx: &'a Ctx,
    key: String,
    upload: String,
}

impl<'a> Planned<'a> {
    /// Starts an upload for a file of that path.
    fn new(ctx: &'a Ctx, path: &str) -> Result<Self, ApiError> {
        if !ctx.state.healthy(&Service::S3) {
            let url = ctx.state.objects.signer.endpoint();
            let text = format!("('Could not connect to the endpoint URL: \"{url}/{}\"',)", ctx.state.user.name);
            return Err(ApiError::unhandled(text));
        }
        let name = match split(path).1 {
            // A URL cannot hold those.
            "." | ".." => "_",
            name => name,
        };
        let key = format!("{}/{name}", uuid::Uuid::new_v4());
        let upload = ctx.state.objects.store.create_upload(&ctx.state.user.name, &key);
        Ok(Self { ctx, key, upload })
    }

    fn url(&self, action: Action<'_>) -> String {
        let lifetime = crate::read(&self.ctx.state.knobs).s3_url_lifetime;
        self.ctx.state.objects.signer.url(&self.ctx.state.user.name, &self.key, action, lifetime)
    }

    /// The URLs of the parts that so many bytes need.
    fn parts(&self, size: i64) -> Vec<String> {
        let count = u64::try_from(size).unwrap_or(0).div_ceil(self.ctx.system.max_part_size.max(1));
        let numbers = 1..=u16::try_from(count).unwrap_or(u16::MAX);
        if count == 0 {
            return Vec::new();
        }
        numbers.map(|number| self.url(Action::Part { upload: &self.upload, number })).collect()
    }

    fn complete(&self) -> String {
        self.url(Action::Complete { upload: &self.upload })
    }
}

async fn upload(ctx: &Ctx, order: &Order) -> Result<Answer, ApiError> {
    let planned = Planned::new(ctx, &order.path)?;
    let size = order
        .size
        .ok_or_else(|| ApiError::unhandled("(\"unsupported operand type(s) for /: 'NoneType' and 'int'\",)"))?;
    let directives = fill_in(&ctx.system, order.account.as_deref())?;
    let user = &ctx.state.user;
    let target = shell::double_quoted(&escape(&order.path), user);
    let allowed = target
        .as_deref()
        .is_some_and(|target| ctx.state.file_systems.confine("slurmstepd", target, &user.home, true).is_ok());
    let (parts, complete) = (planned.parts(size), planned.complete());
    let script = Ingress {
        directives: &directives,
        target: target.as_deref(),
        allowed,
        head_url: &planned.url(Action::Head),
        url: &planned.url(Action::Get),
        part_size: ctx.system.max_part_size,
        sleep: crate::read(&ctx.state.knobs).transfer_sleep,
    }
    .script();
    let job = start(ctx, "IngressFileTransfer", script).await?;
    let told = [
        ("partsUploadUrls", json!(parts)),
        ("completeUploadUrl", json!(complete)),
        ("maxPartSize", json!(ctx.system.max_part_size)),
    ];
    Ok(answer(ctx, &job, told))
}

async fn download(ctx: &Ctx, order: &Order) -> Result<Answer, ApiError> {
    ctx.confine("stat", &order.path, true)?;
    let output = ctx.run("stat", ["--dereference", "-c", "%s", "--", &order.path]).await?.ok()?;
    let size = output.text().trim().parse().unwrap_or(0);
    let planned = Planned::new(ctx, &order.path)?;
    let directives = fill_in(&ctx.system, order.account.as_deref())?;
    let user = &ctx.state.user;
    let source = shell::assigned(&escape(&order.path), user)
        .filter(|source| ctx.state.file_systems.confine("slurmstepd", source, &user.home, true).is_ok());
    let script = Outgress {
        directives: &directives,
        source: source.as_deref(),
        urls: &planned.parts(size),
        complete_url: &planned.complete(),
        part_size: ctx.system.max_part_size,
    }
    .script();
    let job = start(ctx, "OutgressFileTransfer", script).await?;
    Ok(answer(ctx, &job, [("downloadUrl", json!(planned.url(Action::Get)))]))
}

/// The answer, in the spelling that the server's version has.
fn answer<const N: usize>(ctx: &Ctx, job: &Value, told: [(&str, Value); N]) -> Answer {
    let keys = crate::read(&ctx.state.knobs).transfer_keys;
    let told: BTreeMap<String, Value> = told
        .into_iter()
        .map(|(name, value)| (if keys == TransferKeys::Snake { snake(name) } else { name.to_owned() }, value))
        .collect();
    let mut directives: Map<String, Value> = told.into_iter().collect();
    if keys == TransferKeys::TopLevel {
        directives.insert("transferJob".into(), job.clone());
        return Answer::json(201, &directives);
    }
    directives.insert("transferMethod".into(), "s3".into());
    Answer::json(201, &json!({ "transferJob": job, "transferDirectives": directives }))
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::snake;

    #[test]
    fn keys_are_spelled_in_snake_case() {
        assert_eq!(snake("partsUploadUrls"), "parts_upload_urls");
    }
}
