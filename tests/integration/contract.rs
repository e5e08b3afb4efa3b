//! The built component against the contract in `wit/`: what it asks for, what it gives, how large it is.

use std::collections::BTreeSet;

use aiida_firecrest_tests::{described, plugin};
use wit_parser::WorldItem;

use crate::puppet;

/// What Rust's standard library drags in on wasm32-wasip2, and what the plugin never relies on.
const STANDARD_LIBRARY: [&str; 11] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    // The seed of its hash maps.
    "wasi:random/insecure-seed",
];

/// Without the version.
fn interface(name: &str) -> String {
    name.split('@').next().unwrap_or_default().to_owned()
}

/// The world's own list, read from `wit/world.wit`.
fn declared(exports: bool) -> BTreeSet<String> {
    let (resolve, world) = puppet::contract();
    let world = &resolve.worlds[world];
    let items = if exports { &world.exports } else { &world.imports };
    items
        .iter()
        .filter(|(_, item)| matches!(item, WorldItem::Interface { .. }))
        .map(|(key, _)| resolve.name_world_key(key))
        .collect()
}

#[test]
fn it_imports_nothing_beyond_the_declared_list() {
    let declared: BTreeSet<String> = declared(false).iter().map(|name| interface(name)).collect();
    assert!(declared.contains("wasi:http/outgoing-handler") && declared.contains("aiida:hpc/progress"), "{declared:?}");
    let undeclared: Vec<&String> = plugin()
        .inspection()
        .imports
        .iter()
        .filter(|name| {
            let name = interface(name);
            !declared.contains(&name) && !STANDARD_LIBRARY.contains(&name.as_str())
        })
        .collect();
    assert!(undeclared.is_empty(), "{undeclared:?}");
}

#[test]
fn it_has_no_sockets_and_serves_nothing() {
    for name in &plugin().inspection().imports {
        assert!(!name.starts_with("wasi:sockets/"), "{name}");
        assert!(!name.starts_with("wasi:http/incoming-handler"), "{name}");
    }
}

#[test]
fn it_exports_exactly_the_contract() {
    let exports: BTreeSet<String> = plugin().inspection().exports.iter().cloned().collect();
    let contract = ["aiida:hpc/configuration@0.1.0", "aiida:hpc/transport@0.1.0", "aiida:hpc/scheduler@0.1.0"];
    assert_eq!(exports, contract.map(String::from).into());
    assert_eq!(exports, declared(true), "as wit/world.wit says");
    assert_eq!(plugin().inspection().contract.as_deref(), Some("0.1.0"));
}

#[test]
fn it_is_under_a_megabyte() {
    let size = plugin().inspection().size;
    println!("the component has {size} bytes");
    assert!(size < 1 << 20, "{size} bytes");
}

/// Every item of the contract says what it means.
#[test]
fn every_item_of_the_contract_is_documented() {
    let (resolve, _) = puppet::contract();
    let mut bare = Vec::new();
    for (_, interface) in resolve.interfaces.iter() {
        let package = interface.package.map(|id| resolve.packages[id].name.to_string()).unwrap_or_default();
        if !package.starts_with("aiida:hpc") {
            continue;
        }
        let own = interface.name.clone().unwrap_or_default();
        if interface.docs.is_empty() {
            bare.push(own.clone());
        }
        for (name, function) in &interface.functions {
            if function.docs.is_empty() {
                bare.push(format!("{own}.{name}"));
            }
        }
        for (name, id) in &interface.types {
            let kind = &resolve.types[*id];
            let used = matches!(kind.kind, wit_parser::TypeDefKind::Type(wit_parser::Type::Id(_)));
            if kind.docs.is_empty() && !used {
                bare.push(format!("{own}.{name}"));
            }
        }
    }
    assert!(bare.is_empty(), "{bare:?}");
}

#[tokio::test]
async fn it_describes_itself() {
    let info = plugin().describe().await.unwrap();
    assert_eq!(info.name, "aiida-firecrest");
    assert_eq!(info.version.split('.').count(), 3, "{}", info.version);
    assert!(!info.summary.is_empty());
}

/// Names, order and defaults are aiida-firecrest's, so that its configuration files work unchanged.
#[tokio::test]
async fn its_options_are_aiida_firecrests_and_then_its_own() {
    let options = described().await;
    let told: Vec<(&str, Option<&str>, bool)> =
        options.iter().map(|option| (option.name.as_str(), option.default.as_deref(), option.required)).collect();
    assert_eq!(
        told,
        [
            ("url", None, true),
            ("token_uri", None, false),
            ("client_id", None, false),
            ("client_secret", None, false),
            ("compute_resource", None, true),
            ("billing_account", None, false),
            ("temp_directory", None, false),
            ("max_io_allowed", Some("8"), false),
            ("checksum_check", Some("false"), false),
            ("api_version", Some("0"), false),
            ("small_file_size_mb", Some("0"), false),
            ("access_token", None, false),
            ("token_auth_method", Some("client_secret_post"), false),
            ("requests_per_minute", Some("0"), false),
            ("request_timeout_s", Some("120"), false),
        ]
    );
    use aiida_firecrest_host::configuration::OptionKind as Kind;
    let secrets: Vec<&str> = options.iter().filter(|o| o.kind == Kind::Secret).map(|o| o.name.as_str()).collect();
    assert_eq!(secrets, ["client_secret", "access_token"]);
    assert!(options.iter().all(|option| !option.prompt.is_empty() && !option.help.is_empty()));
}
