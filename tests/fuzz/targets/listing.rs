//! A listing's names, with the escapes of `ls`: whatever the server says, no name leads out of the listed directory.
#![no_main]

use aiida_firecrest::firecrest::v2::listing::{self, FileKind};
use aiida_firecrest::firecrest::v2::models::{Output, WireEntry};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    listing::unescape(text);
    listing::permissions(text);
    FileKind::from_letter(text);
    let wire = serde_json::json!({
        "name": text, "type": "-", "linkTarget": text, "user": text, "group": text, "permissions": text,
        "lastModified": text, "size": text,
    });
    let entries = match serde_json::from_str::<Output<Vec<WireEntry>>>(text) {
        Ok(answer) => answer.output,
        Err(_) => serde_json::from_value(wire).into_iter().collect(),
    };
    for entry in entries.into_iter().filter_map(|wire| listing::entry(wire).ok()) {
        assert!(!entry.path.is_empty() && !entry.path.starts_with('/'), "{:?}", entry.path);
        assert!(entry.path.split('/').all(|name| !matches!(name, "" | "." | "..")), "{:?}", entry.path);
        assert!(entry.permissions <= 0o7777);
    }
});
