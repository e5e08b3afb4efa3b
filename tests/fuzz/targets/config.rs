//! The JSON configuration file: read or refused, and a refusal shows nothing of it.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../host/src/options/file.rs"]
mod file;

fuzz_target!(|text: &str| {
    if let Ok(options) = file::parse(text) {
        assert!(options.iter().all(|(name, _)| !name.is_empty() || text.contains("\"\"")));
    }
    let broken = format!("{{\"client_secret\": \"hunter2hunter2\", {text}");
    if let Err(error) = file::parse(&broken) {
        assert!(!error.contains("hunter2"), "{error}");
    }
});
