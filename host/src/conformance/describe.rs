//! `configuration`: what a plugin says of itself and of a server, and what it says of bad options.

use super::bench::{Bench, Shared};
use super::judge::{Judge, Outcome, Step, failed, holds, lacks, same};
use super::{Behaviour, behaviour};
use crate::configuration::{OptionKind, ServerInfo};
use crate::error::Result;
use crate::types::ErrorKind;
use crate::{Options, Session};
use std::collections::BTreeSet;

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!("describe", says_who_it_is, "A plugin has a name, a version and a summary"),
    behaviour!(
        "options",
        have_names_and_prompts,
        "Option names are lower case with underscores, each once, with a prompt and a help text"
    ),
    behaviour!(
        "options",
        have_defaults_of_their_kind,
        "A default can be read as its option's kind, and no secret has one"
    ),
    behaviour!("check", tells_server_and_user, "Check tells product, version, systems and who I am"),
    behaviour!(
        "check",
        tells_limits_and_file_systems,
        "A system has limits above zero, and file systems with absolute paths"
    ),
    behaviour!("check", ignores_unknown_names, "Options that the plugin does not describe are ignored"),
    behaviour!(
        "check",
        names_a_missing_option,
        "A required option that is missing is invalid-argument and the subject"
    ),
    behaviour!("check", names_a_malformed_number, "A number or flag that is none is invalid-argument and the subject"),
    behaviour!("check", refuses_wrong_credentials, "Wrong credentials are unauthenticated, and not shown"),
    behaviour!(
        "check",
        names_the_systems_there_are,
        "A system that the server has not is not-found, and the message lists those it has"
    ),
    behaviour!("check", says_that_nobody_answers, "A server where nobody answers is unavailable"),
];

/// A port where nothing listens, as far as one can know (RFC 863's discard service).
const NOBODY: &str = "http://127.0.0.1:9";

async fn says_who_it_is(b: &mut Bench) -> Outcome {
    let info = b.shared.plugin.describe().await.done("describe")?;
    let empty = [&info.name, &info.version, &info.summary].iter().any(|text| text.trim().is_empty());
    holds("describe", !empty, "no empty text", &info)
}

async fn have_names_and_prompts(b: &mut Bench) -> Outcome {
    let mut names = BTreeSet::new();
    for option in &b.shared.described {
        let fits = option.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        holds("an option's name", fits && !option.name.is_empty(), "a-z, 0-9 and _", &option.name)?;
        holds(
            "an option's texts",
            !option.prompt.is_empty() && !option.help.is_empty(),
            "a prompt and a help",
            option,
        )?;
        holds("an option's name", names.insert(&option.name), "not twice", &option.name)?;
    }
    Ok(())
}

async fn have_defaults_of_their_kind(b: &mut Bench) -> Outcome {
    for option in &b.shared.described {
        let Some(default) = &option.default else { continue };
        let fits = match option.kind {
            OptionKind::Text => true,
            OptionKind::Secret => default.is_empty(),
            OptionKind::Integer => default.parse::<i64>().is_ok(),
            OptionKind::Number => default.parse::<f64>().is_ok(),
            OptionKind::Flag => default == "true" || default == "false",
        };
        holds(format!("the default of {}", option.name), fits, format!("a {:?}", option.kind), default)?;
    }
    Ok(())
}

/// The server, asked with other options.
async fn check(shared: &Shared, options: &Options) -> Result<ServerInfo> {
    shared.plugin.check(options, &shared.policy).await
}

async fn tells_server_and_user(b: &mut Bench) -> Outcome {
    let server = check(&b.shared, &b.shared.options).await.done("check")?;
    let fits = !server.product.is_empty() && !server.systems.is_empty() && !server.user.name.is_empty();
    holds("check", fits, "a product, a system and a user's name", &server)
}

async fn tells_limits_and_file_systems(b: &mut Bench) -> Outcome {
    for system in &b.shared.server.systems {
        let fits = !system.name.is_empty() && system.upload_limit > 0 && system.download_limit > 0;
        holds("check", fits, "a name and limits above zero", system)?;
        let absolute = system.file_systems.iter().all(|one| one.path.starts_with('/'));
        holds("check", absolute, "absolute paths of file systems", system)?;
    }
    Ok(())
}

async fn ignores_unknown_names(b: &mut Bench) -> Outcome {
    let mut options = b.shared.options.clone();
    options.set("conformance_knows_no_such_option", "1");
    check(&b.shared, &options).await.done("check with an option of another program").map(drop)
}

async fn names_a_missing_option(b: &mut Bench) -> Outcome {
    let required: Vec<String> =
        b.shared.described.iter().filter(|one| one.required).map(|one| one.name.clone()).collect();
    if required.is_empty() {
        return Err(lacks("no option is required"));
    }
    for name in required {
        let options: Options = b.shared.options.iter().filter(|(known, _)| *known != name).collect();
        let did = format!("check without {name}");
        let error = check(&b.shared, &options).await.refused(&did, &[ErrorKind::InvalidArgument])?;
        same(format!("the subject of {did}"), error.subject.as_deref(), Some(name.as_str()))?;
    }
    Ok(())
}

async fn names_a_malformed_number(b: &mut Bench) -> Outcome {
    let numeric = |kind| matches!(kind, OptionKind::Integer | OptionKind::Number | OptionKind::Flag);
    let names: Vec<String> =
        b.shared.described.iter().filter(|one| numeric(one.kind)).map(|one| one.name.clone()).collect();
    if names.is_empty() {
        return Err(lacks("no option is a number or a flag"));
    }
    for name in names {
        let mut options = b.shared.options.clone();
        options.set(name.clone(), "not one");
        let did = format!("check with {name} = \"not one\"");
        let error = check(&b.shared, &options).await.refused(&did, &[ErrorKind::InvalidArgument])?;
        same(format!("the subject of {did}"), error.subject.as_deref(), Some(name.as_str()))?;
    }
    Ok(())
}

/// The options with one value changed, for each described option that `which` names with its value.
fn changed(b: &Bench, to: &str, which: impl Fn(OptionKind, &str) -> bool) -> Step<Vec<(String, Options)>> {
    let mut all = Vec::new();
    for option in &b.shared.described {
        let value = b.shared.options.get(&option.name).unwrap_or_default();
        if !value.is_empty() && which(option.kind, value) {
            let mut options = b.shared.options.clone();
            options.set(option.name.clone(), to);
            all.push((option.name.clone(), options));
        }
    }
    if all.is_empty() { Err(lacks("no option given is of that sort")) } else { Ok(all) }
}

async fn refuses_wrong_credentials(b: &mut Bench) -> Outcome {
    const WRONG: &str = "conformance-is-not-the-secret";
    for (name, options) in changed(b, WRONG, |kind, _| kind == OptionKind::Secret)? {
        let did = format!("check with a wrong {name}");
        let error = check(&b.shared, &options).await.refused(&did, &[ErrorKind::Unauthenticated])?;
        if format!("{error:?}").contains(WRONG) {
            return Err(failed(did, "an error without the secret", "the secret in it"));
        }
    }
    Ok(())
}

async fn names_the_systems_there_are(b: &mut Bench) -> Outcome {
    let names: Vec<String> = b.shared.server.systems.iter().map(|system| system.name.clone()).collect();
    let is_system = |_, value: &str| names.iter().any(|name| name.eq_ignore_ascii_case(value));
    for (name, options) in changed(b, "conformance-has-no-such-system", is_system)? {
        let did = format!("check with another {name}");
        let error = check(&b.shared, &options).await.refused(&did, &[ErrorKind::NotFound])?;
        let listed = names.iter().all(|name| error.message.contains(name.as_str()));
        holds(format!("the message of {did}"), listed, names.join(", "), &error.message)?;
    }
    Ok(())
}

async fn says_that_nobody_answers(b: &mut Bench) -> Outcome {
    let is_address =
        |kind, value: &str| kind == OptionKind::Text && (value.starts_with("http://") || value.starts_with("https://"));
    for (name, options) in changed(b, NOBODY, is_address)? {
        let policy =
            crate::Origin::parse(NOBODY).map(|origin| b.shared.policy.clone().allow(origin)).done("the policy")?;
        let did = format!("opening with {name} = {NOBODY}");
        let opened = Session::open(&b.shared.plugin, &options, &policy).await.map(drop);
        opened.refused(did, &[ErrorKind::Unavailable])?;
    }
    Ok(())
}
