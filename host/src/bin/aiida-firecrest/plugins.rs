//! `plugin list|inspect|check|grant|revoke`: plugins as files, what they ask for and what they may. None of it runs a plugin.

use crate::context::Context;
use crate::output::{Failure, bytes, table};
use aiida_firecrest_host::plugin::folder::discover;
use aiida_firecrest_host::plugin::manifest::Asks;
use aiida_firecrest_host::{Error, Found, GrantBook, Result};
use serde_json::{Value, json};

pub(crate) fn list(context: &Context) -> Result<(), Failure> {
    let folder = context.plugin_folder()?;
    let grants = GrantBook::user()?;
    let found = discover(&folder)?;
    let document = || {
        let plugins: Vec<Value> = found
            .iter()
            .map(|(name, found)| match found {
                Ok(found) => summary(found, &grants),
                Err(error) => json!({"name": name, "error": told(error)}),
            })
            .collect();
        json!({"folder": folder, "plugins": plugins})
    };
    let lines = || {
        let rows = found.iter().map(|(name, found)| match found {
            Ok(found) => {
                let outside = &found.inspection;
                let version = outside.version.clone().unwrap_or_default();
                let contract = outside.contract.clone().unwrap_or_else(|| "another".into());
                vec![name.clone(), version, contract, bytes(outside.size), state(found, &grants)]
            }
            Err(error) => vec![name.clone(), String::new(), String::new(), String::new(), error.to_string()],
        });
        table(&["NAME", "VERSION", "CONTRACT", "SIZE", "STATE"], &[3], rows)
    };
    context.output.answer(document, lines)
}

fn state(found: &Found, grants: &GrantBook) -> String {
    match found.inspection.check().map_err(Error::from).and_then(|()| found.policy(grants).map(drop)) {
        Ok(()) => "granted".into(),
        Err(Error::NotGranted { before: true, .. }) => "asks for more than was granted".into(),
        Err(Error::NotGranted { .. }) => "not granted".into(),
        Err(error) => error.to_string(),
    }
}

fn told(error: &Error) -> Value {
    json!({"kind": error.kind(), "message": error.to_string(), "exit_code": error.exit_code()})
}

fn summary(found: &Found, grants: &GrantBook) -> Value {
    let outside = &found.inspection;
    json!({
        "name": found.name, "path": found.path, "sha256": outside.sha256, "size": outside.size, "contract": outside.contract,
        "version": outside.version, "state": state(found, grants),
    })
}

pub(crate) fn inspect(context: &Context, plugin: &str) -> Result<(), Failure> {
    let found = context.find(plugin)?;
    let grants = GrantBook::user()?;
    let outside = &found.inspection;
    let document = || {
        let mut document = summary(&found, &grants);
        let producer =
            |(kind, tool, version): &(String, String, String)| json!({"kind": kind, "tool": tool, "version": version});
        let more = json!({
            "component": outside.name, "licence": outside.licence, "source": outside.source, "imports": outside.imports,
            "exports": outside.exports, "producers": outside.producers.iter().map(producer).collect::<Vec<_>>(),
            "asks": found.manifest.as_ref().map(|_| found.asks()), "granted": grants.granted(&outside.sha256),
        });
        if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
            document.extend(more);
        }
        document
    };
    context.output.answer(document, || described(&found, &grants))
}

fn described(found: &Found, grants: &GrantBook) -> String {
    let outside = &found.inspection;
    let mut rows = vec![
        vec!["plugin".to_owned(), format!("{} ({})", found.name, found.path.display())],
        vec!["size".to_owned(), format!("{} ({} bytes)", bytes(outside.size), outside.size)],
        vec!["sha-256".to_owned(), outside.sha256.clone()],
        vec!["contract".to_owned(), outside.contract.as_ref().map_or("another".into(), |v| format!("aiida:hpc {v}"))],
    ];
    let parts = [
        ("component", &outside.name),
        ("version", &outside.version),
        ("licence", &outside.licence),
        ("source", &outside.source),
    ];
    rows.extend(parts.iter().filter_map(|(label, text)| Some(vec![(*label).to_owned(), (*text).clone()?])));
    let made = outside.producers.iter().map(|(kind, tool, version)| format!("{kind} {tool} {version}")).collect();
    for (label, lines) in
        [("exports", outside.exports.clone()), ("imports", outside.imports.clone()), ("made by", made)]
    {
        rows.extend(
            lines
                .into_iter()
                .enumerate()
                .map(|(at, line)| vec![if at == 0 { label.to_owned() } else { String::new() }, line]),
        );
    }
    let asks =
        found.manifest.as_ref().map_or("nothing: it has no manifest".into(), |manifest| manifest.asks.to_string());
    rows.push(vec!["asks for".to_owned(), asks]);
    let granted = grants.granted(&outside.sha256).map_or("nothing".into(), Asks::to_string);
    rows.push(vec!["granted".to_owned(), granted]);
    table(&[], &[], rows)
}

/// Everything that can be known of a plugin without running it. The first that does not hold is the exit code.
pub(crate) fn check(context: &Context, plugin: &str) -> Result<(), Failure> {
    let found = context.find(plugin)?;
    let outside = &found.inspection;
    let held = outside.check().map_err(Error::from);
    let loads = held.is_ok();
    let mut checks: Vec<(&str, Result<String>)> = vec![
        ("component", Ok(format!("{} bytes, SHA-256 {}", outside.size, outside.sha256))),
        ("contract", held.map(|()| format!("aiida:hpc {}", outside.contract.clone().unwrap_or_default()))),
        (
            "manifest",
            found.check_features().map(|()| found.manifest.as_ref().map_or("none".into(), |_| "valid".into())),
        ),
        ("grants", context.granted(&found).map(|_| "sufficient".into())),
    ];
    if loads {
        checks.push(("compiles", found.load(&context.engine).map(|_| "yes".into())));
    }
    let document = || {
        let shown = checks.iter().map(|(name, outcome)| match outcome {
            Ok(detail) => json!({"check": name, "ok": true, "detail": detail}),
            Err(error) => json!({"check": name, "ok": false, "error": told(error)}),
        });
        json!({"name": found.name, "path": found.path, "checks": shown.collect::<Vec<_>>()})
    };
    let lines = || {
        let rows = checks.iter().map(|(name, outcome)| match outcome {
            Ok(detail) => vec![(*name).to_owned(), "ok".into(), detail.clone()],
            Err(error) => vec![(*name).to_owned(), "FAILS".into(), error.to_string()],
        });
        table(&[], &[], rows)
    };
    context.output.answer(document, lines)?;
    match checks.into_iter().find_map(|(_, outcome)| outcome.err()) {
        Some(error) => Err(Failure::Answered { line: error.to_string(), code: error.exit_code() }),
        None => Ok(()),
    }
}

pub(crate) fn grant(context: &Context, plugin: &str) -> Result<(), Failure> {
    let found = context.find(plugin)?;
    found.inspection.check().map_err(Error::from)?;
    found.check_features()?;
    if found.manifest.is_none() {
        let reason = "has no manifest beside it, so it asks for nothing that could be granted";
        return Err(Failure::usage(&found.path.display().to_string(), reason));
    }
    let mut grants = GrantBook::user()?;
    let asks = found.asks();
    grants.grant(&found.name, &found.inspection.sha256, &asks)?;
    let document =
        || json!({"name": found.name, "sha256": found.inspection.sha256, "granted": asks, "file": grants.path()});
    context.output.answer(document, || format!("{} is granted {asks}", found.name))
}

/// By its name in the folder, a file, or what the grant itself says: what was granted to a file that is gone can be taken back as well.
pub(crate) fn revoke(context: &Context, plugin: &str) -> Result<(), Failure> {
    let mut grants = GrantBook::user()?;
    let key = context.find(plugin).map_or_else(|_| plugin.to_owned(), |found| found.inspection.sha256);
    let mut revoked = grants.revoke(&key)?;
    if key != plugin {
        revoked += grants.revoke(plugin)?;
    }
    if revoked == 0 {
        return Err(Failure::found(
            aiida_firecrest_host::types::ErrorKind::NotFound,
            plugin,
            "nothing was granted to it",
        ));
    }
    context.output.answer(|| json!({"revoked": revoked}), || format!("{plugin}: grants taken back: {revoked}"))
}
