//! Option values as they cross the contract, and the state that a session is opened from.
#![no_main]

use aiida_firecrest::options::{Options, Version};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 12] = [
    "url",
    "token_uri",
    "client_id",
    "client_secret",
    "compute_resource",
    "temp_directory",
    "billing_account",
    "max_io_allowed",
    "checksum_check",
    "api_version",
    "small_file_size_mb",
    "requests_per_minute",
];

fuzz_target!(|input: Vec<(u8, String)>| {
    let values: Vec<(String, String)> = input
        .into_iter()
        .map(|(name, value)| {
            (NAMES.get(usize::from(name)).map_or_else(|| value.clone(), |name| (*name).to_owned()), value)
        })
        // A secret that no message could hold by chance.
        .map(|(name, value)| if name == "client_secret" { (name, format!("§{value}§")) } else { (name, value) })
        .collect();
    for (_, value) in &values {
        Version::parse(value);
    }
    let secret = values.iter().rev().find(|(name, _)| name == "client_secret").map(|(_, value)| value.clone());
    if let Err(error) = Options::read(&values) {
        let secret =
            secret.filter(|secret| values.iter().filter(|(_, value)| value.contains(secret.as_str())).count() == 1);
        assert!(secret.is_none_or(|secret| !error.to_string().contains(&secret)), "{error}");
    }
});
