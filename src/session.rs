//! An open transport: options, a token, and what the server said of itself. It holds no connection.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{Error, Kind, Result};
use crate::firecrest::Client;
use crate::firecrest::auth::Token;
use crate::firecrest::v2::Api;
use crate::firecrest::v2::lenient::{Field, System};
use crate::firecrest::v2::limits;
use crate::http::{Platform, Url};
use crate::options::{Options, Version, unknown_version};
use crate::remote::RemotePath;
use crate::secret::Secret;

/// Raised when the state's content changes.
const STATE_FORMAT: u64 = 1;

/// An open transport.
pub struct Session {
    /// What it was opened with.
    pub options: Options,
    /// The API for its system.
    pub api: Api,
    /// The server's version, as it told it.
    pub version: String,
    /// Its system.
    pub system: System,
    /// All systems of the server; only its own when it was opened from a state.
    pub systems: Vec<System>,
    /// Jobs that were alive when last heard of, and when that was.
    pub(crate) alive: RefCell<HashMap<String, Duration>>,
    /// The user's folder on the default file system, once it has been asked for.
    pub(crate) home: RefCell<Option<RemotePath>>,
}

/// What comes out of `session.state`, which is made for one server, user and system. Secret: it holds the token.
struct State {
    version: String,
    /// As the server told it.
    system: Value,
    token: Option<String>,
    token_expires: u64,
}

impl Session {
    /// Opens: checks the options and asks the server for its version and limits, unless a fitting state says them.
    pub async fn open(platform: Rc<dyn Platform>, values: &[(String, String)], state: Option<&[u8]>) -> Result<Self> {
        let options = Options::read(values)?;
        let api = Api { client: Client::new(platform, &options), system: options.compute_resource.clone() };
        if let Some(state) = state.and_then(|bytes| fitting(bytes, &options)) {
            if let Some(token) = state.token {
                api.client.auth().adopt(Token { text: Secret::new(token), expires: state.token_expires });
            }
            let system = System::read(&state.system);
            let systems = vec![system.clone()];
            return Ok(Self::made(options, api, state.version, system, systems));
        }
        let (systems, told) = api.systems().await?;
        let version = accepted_version(&options, told.as_deref(), &api)?;
        let system = find(&systems, &options.compute_resource)?.clone();
        Ok(Self::made(options, api, version, system, systems))
    }

    fn made(options: Options, api: Api, version: String, system: System, systems: Vec<System>) -> Self {
        Self { options, api, version, system, systems, alive: RefCell::default(), home: RefCell::default() }
    }

    /// What another session needs to open without a request.
    pub fn state(&self) -> Vec<u8> {
        let token = self.api.client.auth().current();
        let state = json!({
            "format": STATE_FORMAT,
            "url": self.options.url.without_query(),
            "client_id": client_id(&self.options),
            "compute_resource": &self.options.compute_resource,
            "version": &self.version,
            "system": &self.system.raw,
            "token_expires": token.as_ref().map_or(0, |t| t.expires),
            "token": token.as_ref().map(|t| t.text.reveal()),
        });
        state.to_string().into_bytes()
    }

    /// Where large files travel through, as the server tells it.
    pub fn origins(&self) -> Vec<String> {
        let public = self.system.public_url.as_deref().and_then(|url| Url::parse(url).ok());
        public.map(|url| url.origin()).into_iter().collect()
    }

    /// Largest file in one upload, in bytes.
    pub fn upload_limit(&self) -> u64 {
        self.limits().0.min(self.options.small_file_size.unwrap_or(u64::MAX))
    }

    /// Largest file in one download, in bytes.
    pub fn download_limit(&self) -> u64 {
        self.limits().1.min(self.upload_limit())
    }

    /// Largest file that comes in one download for certain.
    pub fn sure_download(&self) -> u64 {
        self.download_limit().min(limits::SURE_DOWNLOAD)
    }

    fn limits(&self) -> (u64, u64) {
        limits::of(&self.system, Version::parse(&self.version))
    }
}

fn client_id(options: &Options) -> Option<String> {
    match &options.credentials {
        crate::options::Credentials::Client { client_id, .. } => Some(client_id.clone()),
        crate::options::Credentials::AccessToken(_) => None,
    }
}

/// The state, if it was made for the same server, user and system.
fn fitting(bytes: &[u8], options: &Options) -> Option<State> {
    let told: Value = serde_json::from_slice(bytes).ok()?;
    let state = Field::new(&told);
    let same = state.at("format").number() == Some(STATE_FORMAT)
        && state.at("url").text() == Some(options.url.without_query())
        && state.at("client_id").text() == client_id(options)
        && state.at("compute_resource").text().as_ref() == Some(&options.compute_resource);
    same.then_some(())?;
    Some(State {
        version: state.at("version").text()?,
        token: state.at("token").text(),
        token_expires: state.at("token_expires").number()?,
        system: told.get("system")?.clone(),
    })
}

fn accepted_version(options: &Options, told: Option<&str>, api: &Api) -> Result<String> {
    // A version given by the user was checked when it was read.
    if let Some(version) = options.api_version {
        return Ok(told.map_or_else(|| version.to_string(), str::to_owned));
    }
    let Some(told) = told else {
        let message = format!(
            "{} answers, but does not tell a FirecREST version: is the option url right? (api_version sets it by hand)",
            api.client.server()
        );
        return Err(Error::new(Kind::Unavailable, message).about("url"));
    };
    match Version::parse(told) {
        Some(version) if version.known() => Ok(told.to_owned()),
        _ => Err(unknown_version("url", told)),
    }
}

/// Names are case-insensitive on the server.
fn find<'a>(systems: &'a [System], name: &str) -> Result<&'a System> {
    systems.iter().find(|system| system.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let names: Vec<&str> = systems.iter().map(|system| system.name.as_str()).collect();
        let message = format!("the server has no system '{name}' (it has: {})", names.join(", "));
        Error::new(Kind::NotFound, message).about("compute_resource")
    })
}
