//! A plugin's options, gathered from a configuration file, the environment and flags.
//!
//! The plugin names its options ([`Plugin::options`](crate::Plugin::options)); the host only carries texts. Sources, the later
//! ones winning:
//!
//! 1. aiida-firecrest's JSON file, an object of names and values. Numbers and booleans are turned into text; names that the
//!    plugin does not know (`workdir`, `username`, …) are kept, and ignored by the plugin. Lists, objects and nulls are left out;
//! 2. the environment: `AIIDA_FIRECREST_<OPTION>`, the option's name in capital letters;
//! 3. flags of the command line.
//!
//! `client_secret` may be the path of a file that holds the secret, as in aiida-firecrest: then its text is read and trimmed.
//!
//! ```
//! use aiida_firecrest_host::Options;
//!
//! let mut options = Options::from_json(r#"{"url": "http://localhost:8000", "max_io_allowed": 8, "workdir": "/home/u/"}"#)?;
//! options.set("max_io_allowed", "4");
//! assert_eq!(options.get("max_io_allowed"), Some("4"));
//! # Ok::<(), aiida_firecrest_host::Error>(())
//! ```

mod file;

use crate::configuration::OptionDescription;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The environment variables' prefix.
pub const ENVIRONMENT_PREFIX: &str = "AIIDA_FIRECREST_";

/// Option names and their values. `Debug` shows the names alone: a value may be a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options {
    values: BTreeMap<String, String>,
}

impl Options {
    /// No options.
    #[must_use]
    pub fn new() -> Options {
        Options::default()
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`Error::Io`]: the file cannot be read. [`Error::Options`]: it is no JSON object.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Options> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        Options::from_json(&text).map_err(|error| match error {
            Error::Options { reason, .. } => Error::options(path.display(), reason),
            other => other,
        })
    }

    /// Parses the text of a configuration file.
    ///
    /// # Errors
    /// [`Error::Options`]: it is no JSON object.
    pub fn from_json(text: &str) -> Result<Options> {
        Ok(file::parse(text).map_err(|reason| Error::options("", reason))?.into_iter().collect())
    }

    /// Takes what the environment says of the described options.
    pub fn from_environment(
        described: &[OptionDescription],
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Options {
        let variables: BTreeMap<String, String> = variables.into_iter().collect();
        let mut options = Options::new();
        for option in described {
            if let Some(value) = variables.get(&format!("{ENVIRONMENT_PREFIX}{}", option.name.to_uppercase())) {
                options.set(option.name.clone(), value.clone());
            }
        }
        options
    }

    /// Sets one option; an earlier value is replaced.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// Takes over all options of another source, which win.
    pub fn merge(&mut self, mut other: Options) {
        self.values.extend(std::mem::take(&mut other.values));
    }

    /// An option's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// All names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Replaces `client_secret` by the text of the file that it names, if it names one.
    ///
    /// # Errors
    /// [`Error::Options`]: there is such a file, but it cannot be read.
    pub fn read_secret_files(&mut self) -> Result<()> {
        self.read_secret_file("client_secret")
    }

    /// The same for the secret option of any plugin.
    ///
    /// # Errors
    /// As [`Options::read_secret_files`].
    pub fn read_secret_file(&mut self, name: &str) -> Result<()> {
        let Some(value) = self.values.get(name) else {
            return Ok(());
        };
        let expanded = match value.strip_prefix("~/").zip(std::env::home_dir()) {
            Some((rest, home)) => home.join(rest),
            None => Path::new(value).to_owned(),
        };
        // A secret is hardly ever the name of a file in the working directory; a path with a slash is what people write.
        if !expanded.is_absolute() || !expanded.is_file() {
            return Ok(());
        }
        let text = std::fs::read_to_string(&expanded)
            .map_err(|error| Error::options(name, format!("the file that it names cannot be read: {error}")))?;
        self.values.insert(name.into(), text.trim().into());
        Ok(())
    }

    /// Checks that every one of these names is an option of the plugin. For flags: a file may hold names for others.
    ///
    /// # Errors
    /// [`Error::Options`] names the first that is not, and what there is.
    pub fn check_names<'a>(described: &[OptionDescription], names: impl IntoIterator<Item = &'a str>) -> Result<()> {
        for name in names {
            if !described.iter().any(|option| option.name == name) {
                let known: Vec<&str> = described.iter().map(|option| option.name.as_str()).collect();
                return Err(Error::options(
                    name,
                    format!("the plugin has no option of that name; it has {}", known.join(", ")),
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn values(&self) -> Vec<(String, String)> {
        self.values.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// Values do not stay in freed memory, as far as that is in our hands.
impl Drop for Options {
    fn drop(&mut self) {
        std::mem::take(&mut self.values).into_values().for_each(crate::secrets::wipe);
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Options {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Options {
        Options { values: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::OptionKind;

    fn described(names: &[&str]) -> Vec<OptionDescription> {
        names
            .iter()
            .map(|name| OptionDescription {
                name: (*name).into(),
                kind: OptionKind::Text,
                prompt: String::new(),
                help: String::new(),
                default: None,
                required: false,
            })
            .collect()
    }

    #[test]
    fn a_file_of_aiida_firecrest_is_read_as_it_is() {
        let options = Options::from_json(
            r#"{"url": "http://localhost:8000", "max_io_allowed": 8, "checksum_check": true, "api_version": "1.16.0",
                "small_file_size_mb": 5.0, "workdir": "/home/u/", "builder_metadata_options_custom_scheduler_commands": [], "x": null}"#,
        )
        .unwrap();
        let all: Vec<_> = options.iter().collect();
        assert_eq!(
            all,
            [
                ("api_version", "1.16.0"),
                ("checksum_check", "true"),
                ("max_io_allowed", "8"),
                ("small_file_size_mb", "5.0"),
                ("url", "http://localhost:8000"),
                ("workdir", "/home/u/")
            ]
        );
    }

    #[test]
    fn what_is_no_configuration_is_named_without_its_text() {
        for text in ["", "[]", "\"hunter2\"", "{\"client_secret\": hunter2}", "{\"client_secret\": \"hunter2\""] {
            let error = Options::from_json(text).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    proptest::proptest! {
        /// Whatever a configuration file holds, it is read or refused, and a refusal shows nothing of it.
        #[test]
        fn no_configuration_panics_or_is_shown(text in "\\PC*", secret in "[a-z]{12}") {
            let _ = Options::from_json(&text);
            let broken = format!("{{\"client_secret\": \"{secret}\", {text}");
            if let Err(error) = Options::from_json(&broken) {
                let shown = format!("{error} {error:?}");
                proptest::prop_assert!(!shown.contains(&secret), "{}", shown);
            }
        }
    }

    #[test]
    fn later_sources_win() {
        let described = described(&["url", "client_id"]);
        let mut options =
            Options::from_json(r#"{"url": "file", "client_id": "file", "compute_resource": "file"}"#).unwrap();
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        options.merge(Options::from_environment(
            &described,
            [
                variable("AIIDA_FIRECREST_URL", "environment"),
                variable("AIIDA_FIRECREST_CONFIG", "/c"),
                variable("AIIDA_FIRECREST_CLIENT_ID", "environment"),
            ],
        ));
        options.merge([("url", "flag")].into_iter().collect());
        assert_eq!(options.get("url"), Some("flag"));
        assert_eq!(options.get("client_id"), Some("environment"));
        assert_eq!(options.get("compute_resource"), Some("file"));
        assert_eq!(options.get("config"), None);
    }

    #[test]
    fn a_secret_may_be_in_a_file_and_is_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "  hunter2\n").unwrap();
        let mut options = Options::new();
        options.set("client_secret", file.path().to_str().unwrap());
        options.read_secret_files().unwrap();
        assert_eq!(options.get("client_secret"), Some("hunter2"));
        assert_eq!(format!("{options:?}"), r#"{"client_secret"}"#);
        options.read_secret_files().unwrap();
        assert_eq!(options.get("client_secret"), Some("hunter2"));
    }

    #[test]
    fn an_unknown_flag_is_named_with_what_there_is() {
        let error = Options::check_names(&described(&["url", "client_id"]), ["urll"]).unwrap_err();
        assert_eq!(error.to_string(), "urll: the plugin has no option of that name; it has url, client_id");
    }
}
