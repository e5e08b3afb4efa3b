//! What every command needs: the plugin, the options, the policy, the session, all from the global flags and made when first asked for.

use crate::args::{Global, pair};
use crate::meter::Meter;
use crate::output::{Failure, Output, bytes, remark, table};
use aiida_firecrest_host::configuration::{OptionDescription, OptionKind};
use aiida_firecrest_host::plugin::folder::user_folder;
use aiida_firecrest_host::{
    CodeCache, Engine, Error, Folder, Found, GrantBook, Options, Origin, Plugin, Policy, Session,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How Ctrl-C reaches a transfer.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    heard: Arc<AtomicBool>,
    /// Seconds that the end may take; zero: as long as for any command.
    patience: Arc<AtomicU64>,
}

impl Stop {
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// [`Failure::Cancelled`] where an end was asked for.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.is_asked() { Err(Failure::Cancelled) } else { Ok(()) }
    }

    /// From now on somebody listens.
    pub(crate) fn listen(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// The same, and cleaning up may take this long.
    pub(crate) fn listen_for(&self, patience: Duration) {
        self.patience.store(patience.as_secs(), Ordering::Relaxed);
        self.listen();
    }

    /// How long the end may take.
    pub(crate) fn patience(&self) -> Option<Duration> {
        Some(self.patience.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0).map(Duration::from_secs)
    }

    /// What is set when an end is asked for.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }

    /// Asks for an end. False: nothing here listens.
    pub(crate) fn ask(&self) -> bool {
        self.asked.store(true, Ordering::Relaxed);
        self.heard.load(Ordering::Relaxed)
    }
}

pub(crate) struct Context {
    global: Global,
    pub(crate) output: Output,
    pub(crate) engine: Engine,
    stop: Stop,
    chosen: Mutex<Option<Arc<Found>>>,
}

impl Context {
    pub(crate) fn new(global: Global, output: Output) -> Result<Context, Failure> {
        let cache = if global.no_cache { CodeCache::Off } else { CodeCache::User };
        let engine = Engine::new(&cache)?;
        Ok(Context { global, output, engine, stop: Stop::default(), chosen: Mutex::default() })
    }

    /// What Ctrl-C sets.
    pub(crate) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// The built-in plugin, or the one that `--plugin` names; that one only if it was granted what it asks for.
    pub(crate) fn plugin(&self) -> Result<Plugin, Failure> {
        let Some(found) = self.chosen()? else {
            return Ok(Plugin::built_in(&self.engine)?);
        };
        found.inspection.check().map_err(Error::from)?;
        found.check_features()?;
        self.granted(&found)?;
        Ok(found.load(&self.engine)?)
    }

    /// What `--plugin` names. Read once: what is granted is what is run.
    fn chosen(&self) -> Result<Option<Arc<Found>>, Failure> {
        let Some(name) = &self.global.plugin else { return Ok(None) };
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if chosen.is_none() {
            *chosen = Some(Arc::new(self.find(name)?));
        }
        Ok(chosen.clone())
    }

    /// A plugin by its name in the folder, or by its file.
    pub(crate) fn find(&self, name: &str) -> Result<Found, Failure> {
        if name.contains(std::path::is_separator) || name.ends_with(".wasm") {
            return Ok(Found::in_file(Path::new(name))?);
        }
        Ok(Found::by_name(&self.plugin_folder()?, name)?)
    }

    pub(crate) fn plugin_folder(&self) -> Result<PathBuf, Failure> {
        let given = self.global.plugins.clone().filter(|folder| !folder.as_os_str().is_empty());
        given.or_else(user_folder).ok_or_else(|| Failure::usage("--plugins", "this user has no home folder: name one"))
    }

    /// What a person granted a plugin. One without a manifest asks for nothing: what it may is said by this command's flags and options.
    pub(crate) fn granted(&self, found: &Found) -> Result<Policy, Error> {
        match &found.manifest {
            None => Ok(Policy::default()),
            Some(manifest) if self.global.grant => Ok(manifest.asks.policy()),
            Some(_) => found.policy(&GrantBook::user()?),
        }
    }

    /// File, then environment, then flags.
    pub(crate) async fn options(&self, plugin: &Plugin) -> Result<Options, Failure> {
        let described: Vec<OptionDescription> = plugin.options().await?;
        let mut options = match &self.global.config {
            Some(path) => Options::from_file(path)?,
            None => Options::new(),
        };
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        options.merge(Options::from_environment(&described, std::env::vars_os().filter_map(utf8)));
        let shorthands = [
            ("url", &self.global.url),
            ("token_uri", &self.global.token_uri),
            ("compute_resource", &self.global.system),
        ];
        let shorthands = shorthands.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        let set = self.global.set.iter().map(|text| pair(text).map_err(|reason| Failure::usage("--set", reason)));
        let set = set.collect::<Result<Vec<_>, _>>()?;
        let flags: Options = set.into_iter().chain(shorthands).collect();
        Options::check_names(&described, flags.iter().map(|(name, _)| name))?;
        options.merge(flags);
        for secret in described.iter().filter(|option| option.kind == OptionKind::Secret) {
            options.read_secret_file(&secret.name)?;
        }
        let secret = described.iter().find(|option| option.kind == OptionKind::Secret);
        if let Some((command, secret)) = self.global.secret_command.clone().zip(secret) {
            let told = tokio::task::spawn_blocking(move || secret_of(&command)).await;
            let told = told.unwrap_or_else(|error| Err(error.to_string()));
            options.set(secret.name.as_str(), told.map_err(|reason| Failure::usage("--secret-command", reason))?);
        }
        Ok(options)
    }

    pub(crate) fn policy(&self) -> Result<Policy, Failure> {
        let mut policy = match self.chosen()? {
            Some(found) => self.granted(&found)?,
            None => Policy::default(),
        };
        for origin in &self.global.allow_origin {
            policy = policy.allow(Origin::parse(origin)?);
        }
        for folder in &self.global.allow_read {
            policy = policy.folder(Folder::read(absolute(folder)?));
        }
        for folder in &self.global.allow_write {
            policy = policy.folder(Folder::write(absolute(folder)?));
        }
        for file in &self.global.ca {
            policy = policy.ca_file(file);
        }
        if let Some(timeout) = self.global.timeout {
            policy = policy.deadline(timeout);
        }
        Ok(policy)
    }

    pub(crate) async fn session(&self) -> Result<Session, Failure> {
        let plugin = self.plugin()?;
        let options = self.options(&plugin).await?;
        Ok(Session::open(&plugin, &options, &self.policy()?).await?)
    }

    /// Shows how transfers go, to a person only, and stops them at Ctrl-C.
    pub(crate) fn meter(&self, bytes: Option<u64>, files: Option<u64>) -> Meter {
        self.stop.listen();
        Meter::new(self.output.is_interactive(), self.stop.clone(), bytes, files)
    }

    /// Shows a person what is waited for on the cluster. Ctrl-C stops it from when the plugin first asks whether to go on; before that
    /// nothing would listen, and the program ends at once.
    pub(crate) fn wait_on(&self, session: &mut Session) -> Result<Meter, Failure> {
        let meter = Meter::new(self.output.is_interactive(), self.stop.clone(), None, None);
        meter.follow(session, 0)?;
        Ok(meter)
    }

    /// The policy with a folder to write to, unless the user named some.
    pub(crate) fn policy_writing(&self, folder: &Path) -> Result<Policy, Failure> {
        let policy = self.policy()?;
        Ok(if policy.folders().is_empty() { policy.folder(Folder::write(folder)) } else { policy })
    }

    /// With `--requests`: what was asked of servers.
    fn print_requests(&self) {
        let telemetry = self.engine.telemetry();
        let records = telemetry.records();
        let rows = records.iter().map(|record| {
            vec![
                record.method.clone(),
                format!("{}{}", record.origin, record.path),
                record.status.map_or_else(|| record.error.clone().unwrap_or_default(), |status| status.to_string()),
                bytes(record.sent),
                bytes(record.received),
                format!("{:.0} ms", record.duration.as_secs_f64() * 1e3),
            ]
        });
        remark(table(&["METHOD", "ADDRESS", "STATUS", "SENT", "RECEIVED", "TIME"], &[3, 4, 5], rows));
        remark(format!("\n{}", telemetry.report().trim_end()));
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.global.requests {
            self.print_requests();
        }
    }
}

/// A local path as the library wants it; the file need not be there.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::Error(Error::io(path, error)))
}

/// What a keyring's command prints. It may ask for a password, so it has this terminal.
fn secret_of(command: &str) -> Result<String, String> {
    use std::process::{Command, Stdio};
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::inherit()).stderr(Stdio::inherit());
    let output = shell.output().map_err(|error| format!("there is no shell to run it: {error}"))?;
    if !output.status.success() {
        return Err(format!("it failed ({})", output.status));
    }
    // Not repeated in a message, whatever it is.
    let text = String::from_utf8(output.stdout).map_err(|_| "its output is not UTF-8".to_owned())?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err("it printed nothing".to_owned()),
    }
}
