//! An absolute http or https address, parsed once at the edge.

use std::fmt;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What RFC 3986 section 2.3 calls unreserved stays; the rest is encoded, so that no name can change the meaning of a query.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes a name for one segment of a path, or for a key or value of a query.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// An absolute http or https URL without user, password and fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    secure: bool,
    authority: String,
    /// Begins with a slash where it is not empty; holds the query too.
    path_and_query: String,
}

impl Url {
    /// Parses; the text of the error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("it is empty".into());
        }
        if text.contains('#') {
            return Err("it has a fragment ('#')".into());
        }
        let uri: Uri = text.parse().map_err(|e| format!("it is no URL ({e})"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(other) => return Err(format!("its scheme is '{other}', not http or https")),
            None => return Err("it does not begin with http:// or https://".into()),
        };
        let authority = uri.authority().ok_or("it names no host")?.as_str().to_ascii_lowercase();
        if authority.contains('@') {
            return Err("it holds a user or a password".into());
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err("it names no host".into());
        }
        let path_and_query = uri.path_and_query().map_or("", |p| p.as_str());
        Ok(Self { secure, authority, path_and_query: path_and_query.trim_end_matches('/').into() })
    }

    /// The same server, with path segments added (each one encoded) and a query (each key and value encoded).
    pub fn with(&self, segments: &[&str], query: &[(&str, &str)]) -> Self {
        let mut path = self.path_and_query.clone();
        for segment in segments {
            path.push('/');
            path.push_str(&encode(segment));
        }
        for (i, (key, value)) in query.iter().enumerate() {
            path.push(if i == 0 { '?' } else { '&' });
            path.push_str(&encode(key));
            path.push('=');
            path.push_str(&encode(value));
        }
        Self { path_and_query: path, ..self.clone() }
    }

    /// https?
    pub fn secure(&self) -> bool {
        self.secure
    }

    /// Host, and port where it was given.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }

    /// As it goes into a request line.
    pub fn path_and_query(&self) -> &str {
        if self.path_and_query.is_empty() { "/" } else { &self.path_and_query }
    }

    /// For people: without the query, which can hold a signature.
    pub fn without_query(&self) -> String {
        format!("{}{}", self.origin(), self.path_and_query.split('?').next().unwrap_or_default())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_query())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_prefix_and_encodes_what_is_added() {
        let url = Url::parse("https://api.example.org:8443/hpc/firecrest/v2/").unwrap();
        let made = url.with(&["filesystem", "da int", "ops", "stat"], &[("path", "/a b&c=d/ü#?%")]);
        assert_eq!(
            made.path_and_query(),
            "/hpc/firecrest/v2/filesystem/da%20int/ops/stat?path=%2Fa%20b%26c%3Dd%2F%C3%BC%23%3F%25"
        );
        assert_eq!(made.authority(), "api.example.org:8443");
        assert!(made.secure());
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, part) in [
            ("", "empty"),
            ("firecrest.cscs.ch", "http://"),
            ("ftp://x/", "scheme"),
            ("http://user:pw@x/", "password"),
            ("http://", "URL"),
            ("http:///x", "URL"),
            ("https://x/#y", "fragment"),
            ("https://a b/", "URL"),
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn debug_leaves_the_query_out() {
        let url = Url::parse("http://s3/b/k?X-Amz-Signature=abc").unwrap();
        assert_eq!(format!("{url:?}"), "http://s3/b/k");
    }
}
