//! `check`, `whoami`, `inspect`: who is there.

use crate::context::Context;
use crate::json;
use crate::output::{Failure, bytes, table};
use aiida_firecrest_host::configuration::{Identity, OptionDescription, PluginInfo, ServerInfo};
use aiida_firecrest_host::{Error, Inspection, Plugin};
use serde_json::json;
use std::path::PathBuf;

pub(crate) async fn check(context: &Context) -> Result<(), Failure> {
    let plugin = context.plugin()?;
    let options = context.options(&plugin).await?;
    let server = plugin.check(&options, &context.policy()?).await?;
    context.output.answer(|| json::server(&server), || shown(&server))
}

fn shown(server: &ServerInfo) -> String {
    let mut lines = vec![format!("{} {}", server.product, server.version)];
    for system in &server.systems {
        lines.push(String::new());
        lines.push(format!("system {}: {} {}", system.name, system.scheduler, system.scheduler_version));
        let larger = system.transfer_method.as_ref().map_or("not at all".into(), |method| format!("by {method}"));
        lines.push(format!(
            "  files up to {} up and {} down in one request; larger ones {larger}",
            bytes(system.upload_limit),
            bytes(system.download_limit)
        ));
        let services = system.services.iter().map(|service| {
            let health = if service.healthy { "healthy" } else { "NOT HEALTHY" };
            let what = service.path.as_deref().unwrap_or_default();
            vec![
                format!("  {}", service.kind),
                what.to_owned(),
                health.to_owned(),
                service.message.clone().unwrap_or_default(),
            ]
        });
        lines.push(table(&[], &[], services));
        let folders = system.file_systems.iter().map(|fs| {
            let default = if fs.default_work_directory { "default working directory" } else { "" };
            vec![format!("  {}", fs.path), fs.kind.clone(), default.to_owned()]
        });
        lines.push(table(&[], &[], folders));
    }
    lines.push(String::new());
    lines.push(person(&server.user));
    lines.retain(|line| !line.trim().is_empty() || line.is_empty());
    lines.join("\n")
}

pub(crate) async fn whoami(context: &Context) -> Result<(), Failure> {
    let identity = context.session().await?.whoami().await?;
    context.output.answer(|| json::identity(&identity), || person(&identity))
}

fn person(identity: &Identity) -> String {
    let number = |number: Option<u32>| number.map_or_else(String::new, |number| format!(" ({number})"));
    let mut text = format!("user {}{}", identity.name, number(identity.uid));
    if let Some(group) = &identity.group {
        text += &format!(", group {group}{}", number(identity.gid));
    }
    if !identity.groups.is_empty() {
        text += &format!(", groups {}", identity.groups.join(" "));
    }
    if !identity.accounts.is_empty() {
        text += &format!(", accounts {}", identity.accounts.join(" "));
    }
    text
}

async fn described(plugin: &Plugin) -> Result<(PluginInfo, Vec<OptionDescription>), Error> {
    Ok((plugin.describe().await?, plugin.options().await?))
}

pub(crate) async fn inspect(context: &Context, file: Option<PathBuf>) -> Result<(), Failure> {
    let (inspection, plugin) = match &file {
        Some(path) => {
            let inspection = Inspection::of_file(path)?;
            let plugin = inspection.check().map_err(Into::into).and_then(|()| Plugin::from_file(&context.engine, path));
            (inspection, plugin)
        }
        None => {
            let plugin = context.plugin()?;
            (plugin.inspection().clone(), Ok(plugin))
        }
    };
    // What cannot be loaded, or fails, is shown from the outside all the same; then the reason is the error.
    let (described, failure) = match plugin {
        Ok(plugin) => match described(&plugin).await {
            Ok(described) => (Some(described), None),
            Err(error) => (None, Some(error)),
        },
        Err(error) => (None, Some(error)),
    };
    let document = || {
        let mut document = json!({
            "size": inspection.size, "contract": inspection.contract, "imports": inspection.imports, "exports": inspection.exports,
            "name": inspection.name, "version": inspection.version,
            "producers": inspection.producers.iter().map(|(kind, tool, version)| json!({"kind": kind, "tool": tool, "version": version})).collect::<Vec<_>>(),
        });
        if let Some((info, options)) = &described {
            document["plugin"] = json!({"name": info.name, "version": info.version, "summary": info.summary});
            document["options"] = options.iter().map(json::option).collect();
        }
        if let Some(error) = &failure {
            document["error"] =
                json!({"kind": error.kind(), "message": error.to_string(), "exit_code": error.exit_code()});
        }
        document
    };
    let lines = || {
        let mut rows = Vec::new();
        if let Some((info, _)) = &described {
            rows.push(vec!["plugin".to_owned(), format!("{} {}: {}", info.name, info.version, info.summary)]);
        }
        rows.push(vec!["size".to_owned(), format!("{} ({} bytes)", bytes(inspection.size), inspection.size)]);
        rows.push(vec![
            "contract".to_owned(),
            inspection.contract.as_ref().map_or("none of this host's".into(), |version| format!("aiida:hpc {version}")),
        ]);
        let label = |index: usize, label: &str| if index == 0 { label.to_owned() } else { String::new() };
        for (index, name) in inspection.exports.iter().enumerate() {
            rows.push(vec![label(index, "exports"), name.clone()]);
        }
        for (index, name) in inspection.imports.iter().enumerate() {
            rows.push(vec![label(index, "imports"), name.clone()]);
        }
        for (index, (kind, tool, version)) in inspection.producers.iter().enumerate() {
            rows.push(vec![label(index, "made by"), format!("{kind} {tool} {version}")]);
        }
        for (index, option) in described.iter().flat_map(|(_, options)| options).enumerate() {
            let default = option.default.as_ref().map_or_else(String::new, |default| format!(" [{default}]"));
            let required = if option.required { " (required)" } else { "" };
            rows.push(vec![label(index, "options"), format!("{}{default}{required}: {}", option.name, option.prompt)]);
        }
        table(&[], &[], rows)
    };
    context.output.answer(document, lines)?;
    match failure {
        None => Ok(()),
        Some(error) => Err(Failure::Answered { line: error.to_string(), code: error.exit_code() }),
    }
}
