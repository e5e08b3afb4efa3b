//! A bill of materials from what cargo says: CycloneDX 1.5, sorted, without a serial number or a time, so that it is the same every
//! time. cargo-cyclonedx writes both, and cannot be asked for one target's packages without a manifest of its own.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::process::Command;

/// What one package is made from, for one target or for this machine's.
pub(crate) fn of(root: &Path, package: &str, target: Option<&str>) -> Result<Value, Box<dyn Error>> {
    let metadata = metadata(root, target)?;
    let checksums = checksums(&std::fs::read_to_string(root.join("Cargo.lock"))?);
    let packages: BTreeMap<&str, &Value> = list(&metadata["packages"]).map(|one| (text(&one["id"]), one)).collect();
    let first = *packages
        .iter()
        .find(|(_, one)| one["name"] == package)
        .ok_or_else(|| format!("cargo knows no package {package}"))?
        .0;
    let needs: BTreeMap<&str, Vec<&str>> = list(&metadata["resolve"]["nodes"])
        .map(|node| {
            (text(&node["id"]), list(&node["deps"]).filter(|one| is_part(one)).map(|one| text(&one["pkg"])).collect())
        })
        .collect();
    let (mut parts, mut open) = (BTreeSet::new(), vec![first]);
    while let Some(id) = open.pop() {
        if parts.insert(id) {
            open.extend(needs.get(id).into_iter().flatten());
        }
    }
    let mut components: Vec<Value> =
        parts.iter().filter(|id| **id != first).map(|id| component(packages[id], "library", &checksums)).collect();
    components.sort_by_key(|one| text(&one["bom-ref"]).to_owned());
    let mut dependencies: Vec<Value> = parts
        .iter()
        .map(|id| {
            let of: BTreeSet<String> = needs.get(id).into_iter().flatten().map(|need| purl(packages[need])).collect();
            json!({"ref": purl(packages[id]), "dependsOn": of})
        })
        .collect();
    dependencies.sort_by_key(|one| text(&one["ref"]).to_owned());
    Ok(json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": component(packages[first], "application", &checksums)},
        "components": components, "dependencies": dependencies,
    }))
}

fn metadata(root: &Path, target: Option<&str>) -> Result<Value, Box<dyn Error>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["metadata", "--format-version", "1", "--locked"]);
    cargo.arg("--filter-platform").arg(target.map_or_else(this_machine, |target| Ok(target.to_owned()))?);
    let output = cargo.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The target that programs of this machine are built for.
fn this_machine() -> Result<String, Box<dyn Error>> {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc -vV names no host")?.to_owned())
}

/// It goes into the program; what is needed to test or to build does not.
fn is_part(dependency: &Value) -> bool {
    list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null())
}

fn component(package: &Value, kind: &str, checksums: &BTreeMap<(String, String), String>) -> Value {
    let (name, version) = (text(&package["name"]), text(&package["version"]));
    let mut component =
        json!({"type": kind, "name": name, "version": version, "bom-ref": purl(package), "purl": purl(package)});
    if let Some(licence) = package["license"].as_str() {
        // Some packages still write the slash of old.
        component["licenses"] = json!([{"expression": licence.replace('/', " OR ")}]);
    }
    if let Some(sum) = checksums.get(&(name.to_owned(), version.to_owned())) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
    }
    component
}

fn purl(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", text(&package["name"]), text(&package["version"]))
}

/// What Cargo.lock says of each name and version. Its form is a subset of TOML that cargo alone writes.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let mut all = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let value = |key: &str| {
            let line =
                package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'));
            line.map(str::to_owned)
        };
        if let (Some(name), Some(version), Some(sum)) = (value("name"), value("version"), value("checksum")) {
            all.insert((name, version), sum);
        }
    }
    all
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
