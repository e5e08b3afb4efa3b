//! Slurm's words: node lists, states, ids, job scripts.
#![no_main]

use aiida_firecrest::scheduler::{info::JobInfo, nodes, service, state};
use aiida_firecrest::shell::quote;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(names) = nodes::expand(text) {
        assert!(names.len() <= nodes::MAX_NODES);
        assert!(names.iter().all(|name| name.len() <= nodes::MAX_NAME_LENGTH));
    }
    let (word, reason) = text.split_once(' ').unwrap_or((text, ""));
    state::classify(word, Some(reason));
    state::is_terminal(word);
    service::is_identifier(text);
    JobInfo::out_of_sight(text);
    assert_eq!(unquote(&quote(text)), text);
});

/// What a POSIX shell makes of a word that consists of single quotes and backslashes outside of them.
fn unquote(word: &str) -> String {
    let (mut plain, mut quoted, mut escaped) = (String::new(), false, false);
    for c in word.chars() {
        match c {
            _ if escaped => {
                plain.push(c);
                escaped = false;
            }
            '\'' => quoted = !quoted,
            '\\' if !quoted => escaped = true,
            '"' if !quoted => {}
            c => plain.push(c),
        }
    }
    assert!(!quoted && !escaped, "{word:?} is left open");
    plain
}
