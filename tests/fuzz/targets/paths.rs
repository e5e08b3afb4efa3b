//! Paths, patterns and addresses, as callers and servers write them.
#![no_main]

use aiida_firecrest::archive::target::climbs;
use aiida_firecrest::http::Url;
use aiida_firecrest::remote::{JobPath, RemotePath};
use aiida_firecrest::shell::quote_pattern;
use aiida_firecrest::transport::pattern;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (one, other) = input;
    if let Ok(path) = RemotePath::parse(one) {
        let text = path.as_str();
        assert!(
            text.starts_with('/') && !text.contains('\'') && !text.contains('\0') && !text.contains("//"),
            "{text:?}"
        );
        assert_eq!(RemotePath::parse(text).as_ref().ok(), Some(&path));
        if let Some((parent, name)) = path.split() {
            assert!(!name.contains('/') && name != ".." && !parent.as_str().is_empty());
        }
        if let Ok(joined) = path.join(other) {
            assert!(joined.as_str().starts_with(text.trim_end_matches('/')), "{joined:?}");
        }
    }
    if let Ok(path) = JobPath::parse(one) {
        assert!(path.as_str().starts_with('/') && !path.as_str().contains('\0'));
    }
    if let Ok(url) = Url::parse(one) {
        let made = url.with(&[other], &[(other, one)]);
        assert_eq!(made.origin(), url.origin());
        assert!(
            made.path_and_query().starts_with('/') || made.path_and_query().starts_with('?'),
            "{:?}",
            made.path_and_query()
        );
        assert!(!url.without_query().contains('?'));
    }
    pattern::matches(one, other);
    if !pattern::is_pattern(one) && !one.contains('\\') {
        assert_eq!(pattern::matches(one, other), one == other, "{one:?} {other:?}");
    }
    quote_pattern(one);
    climbs(one, other);
});
