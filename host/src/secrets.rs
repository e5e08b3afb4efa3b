//! Secrets that a plugin has, kept out of every text that the host hands on about it.
//!
//! A plugin is told the options, and makes tokens of them. Its errors, its panics and its addresses are its own words, so it may
//! put either into them, by mistake or on purpose. The host knows both, for it carries them: the options whose names say so, and
//! what goes into an `authorization` header. Whatever leaves the host as an error, a log line or telemetry has them taken out.

use crate::options::Options;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What stands in a secret's place.
pub(crate) const HIDDEN: &str = "[secret]";

/// Shorter ones are not looked for: they would be found in innocent words.
const SHORTEST: usize = 6;

/// Tokens are renewed; so many of the latest are known.
const KEPT: usize = 32;

/// Does an option's name say that its value is secret?
pub(crate) fn sounds_secret(name: &str) -> bool {
    let said = ["secret", "password", "passphrase", "token"].iter().any(|word| name.contains(word));
    said && !name.ends_with("_uri") && !name.ends_with("_url")
}

/// The secrets of one instance; clones know the same.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known(Vec<String>);

impl Secrets {
    /// Takes note of the options that are secret by their names.
    pub(crate) fn learn_options(&self, options: &Options) {
        for (name, value) in options.iter() {
            if sounds_secret(name) {
                self.learn(value);
            }
        }
    }

    /// Takes note of what a request authenticates with.
    pub(crate) fn learn_headers(&self, headers: &::http::HeaderMap) {
        for value in headers.get_all(::http::header::AUTHORIZATION) {
            let text = String::from_utf8_lossy(value.as_bytes());
            self.learn(text.split_once(' ').map_or(text.as_ref(), |(_scheme, credentials)| credentials));
        }
    }

    fn learn(&self, text: &str) {
        let text = text.trim();
        let mut known = self.lock();
        if text.len() < SHORTEST || known.0.iter().any(|secret| secret == text) {
            return;
        }
        if known.0.len() == KEPT {
            // The first is the option's, which does not change.
            wipe(known.0.remove(1));
        }
        known.0.push(text.to_owned());
    }

    /// The text without them.
    pub(crate) fn hide(&self, text: &mut String) {
        for secret in &self.lock().0 {
            if text.contains(secret.as_str()) {
                let clean = text.replace(secret.as_str(), HIDDEN);
                wipe(std::mem::replace(text, clean));
            }
        }
    }

    /// The same, for a text that is not one's own.
    pub(crate) fn hidden(&self, text: &str) -> String {
        let mut text = text.to_owned();
        self.hide(&mut text);
        text
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.0.drain(..).for_each(wipe);
    }
}

/// Best effort: the allocator may have copied it before. `black_box` keeps the write from being optimised away.
pub(crate) fn wipe(text: String) {
    let mut bytes = text.into_bytes();
    bytes.fill(0);
    std::hint::black_box(&bytes);
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_headers_are_taken_out_of_texts() {
        let secrets = Secrets::default();
        let options = [("client_secret", "hunter22"), ("token_uri", "https://auth"), ("url", "https://api")];
        secrets.learn_options(&options.into_iter().collect());
        let mut headers = ::http::HeaderMap::new();
        headers.insert("authorization", "Bearer eyJ.first".parse().unwrap());
        secrets.learn_headers(&headers);
        let text = "hunter22 at https://auth with eyJ.first, (hunter22)";
        assert_eq!(secrets.hidden(text), "[secret] at https://auth with [secret], ([secret])");
        assert_eq!(format!("{secrets:?}"), "[secret]");
        for number in 0..100 {
            secrets.learn(&format!("token-{number}-end"));
        }
        assert_eq!(secrets.hidden("hunter22 token-99-end"), "[secret] [secret]");
    }
}
