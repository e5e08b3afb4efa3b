//! What a simulator starts with, and its start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::SystemTime;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::auth::Auth;
use crate::house::House;
use crate::jobs::scheduler::Scheduler;
use crate::knobs::Knobs;
use crate::record::Recorder;
use crate::s3::ObjectStore;
use crate::simulator::{Simulator, Temporary};
use crate::state::State;

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not on the loopback interface.
    #[error("{0} is not a loopback address: the simulator listens on the local machine only")]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The root, or something in it, cannot be made.
    #[error("cannot prepare {path}: {1}", path = .0.display())]
    Root(PathBuf, #[source] io::Error),
    /// The root's path cannot be a remote path.
    #[error("the root {path} cannot be used: its path must be UTF-8 without quotes, spaces or line breaks", path = .0.display())]
    RootName(PathBuf),
    /// The user who runs commands and jobs cannot get to the root.
    #[error("user {uid} cannot reach {shown}: every folder above it must be searchable by others (mode o+x)", shown = .path.display())]
    Unreachable {
        /// The user.
        uid: u32,
        /// The home that cannot be reached.
        path: PathBuf,
    },
    /// The configuration cannot be written.
    #[error("cannot write {path}: {1}", path = .0.display())]
    Config(PathBuf, #[source] io::Error),
}

/// What a simulator starts with.
#[derive(Debug, Clone)]
pub struct Builder {
    root: Option<PathBuf>,
    address: SocketAddr,
    username: String,
    client_id: String,
    client_secret: Option<String>,
    ids: (u32, u32),
    knobs: Knobs,
    admin: Option<u16>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            root: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            username: "fireuser".into(),
            client_id: "firecrest-test-client".into(),
            client_secret: None,
            ids: (1001, 100),
            knobs: Knobs::default(),
            admin: None,
        }
    }
}

impl Builder {
    /// Keeps the files under this folder; made if missing, and left there. Unless given, a temporary folder is made and
    /// removed again. As root, the folder itself (nothing above it) is made searchable by others.
    #[must_use]
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// Listens on this port of 127.0.0.1; 0, the default, takes any free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.address.set_port(port);
        self
    }

    /// Listens on this address, which must be a loopback one.
    #[must_use]
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// The user's name; `fireuser` unless given.
    #[must_use]
    pub fn username(mut self, name: impl Into<String>) -> Self {
        self.username = name.into();
        self
    }

    /// The client's id and secret; unless given, `firecrest-test-client` and a random secret.
    #[must_use]
    pub fn client(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.client_id = id.into();
        self.client_secret = Some(secret.into());
        self
    }

    /// As whom commands and jobs run when the simulator itself runs as root: 1001 and 100 unless given.
    #[must_use]
    pub fn run_as(mut self, uid: u32, gid: u32) -> Self {
        self.ids = (uid, gid);
        self
    }

    /// Also listens for JSON on this port of the same address (0 takes any free one): faults, knobs, records, for test programs in
    /// other languages. Whoever reaches it needs no token.
    #[must_use]
    pub fn admin(mut self, port: u16) -> Self {
        self.admin = Some(port);
        self
    }

    /// Turns knobs before the start.
    #[must_use]
    pub fn adjust(mut self, change: impl FnOnce(&mut Knobs)) -> Self {
        change(&mut self.knobs);
        self
    }

    /// Starts serving.
    ///
    /// # Errors
    ///
    /// When the address is no loopback one or taken, or the root cannot be used.
    pub async fn start(self) -> Result<Simulator, Error> {
        if !self.address.ip().is_loopback() {
            return Err(Error::NotLoopback(self.address));
        }
        let listener = TcpListener::bind(self.address).await.map_err(|error| Error::Listen(self.address, error))?;
        let address = listener.local_addr().map_err(|error| Error::Listen(self.address, error))?;
        let admin = match self.admin {
            Some(port) => {
                let address = SocketAddr::new(address.ip(), port);
                let failed = |error| Error::Listen(address, error);
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let url = format!("http://{}", listener.local_addr().map_err(failed)?);
                Some((listener, url))
            }
            None => None,
        };
        let temporary = self.root.is_none();
        let root = match self.root.clone() {
            Some(root) => root,
            None => temporary_root()?,
        };
        let house = House::build(&root, &self.username, self.ids)?;
        let guard = Temporary(temporary.then(|| house.root.clone()));
        let secret = self.client_secret.unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string());
        let knobs = Arc::new(RwLock::new(self.knobs));
        let scheduler =
            Arc::new(Scheduler::new(house.root.clone(), house.user.clone(), house.file_systems.clone(), knobs.clone()));
        let (client_id, username) = (self.client_id, self.username);
        let auth = tokio::task::spawn_blocking(move || Auth::new(client_id, secret, username))
            .await
            .map_err(|error| Error::Root(root, io::Error::other(error)))?;
        let folder = house.root.join("objects");
        let objects = ObjectStore::listen(address.ip(), &folder, knobs.clone())
            .await
            .map_err(|error| Error::Root(folder, error))?;
        let state = Arc::new(State {
            url: format!("http://{address}"),
            root: house.root,
            user: house.user,
            file_systems: house.file_systems,
            auth,
            recorder: Recorder::default(),
            objects: objects.store.clone(),
            scheduler: scheduler.clone(),
            knobs,
            faults: Mutex::default(),
            quota_used: Mutex::default(),
            refused_uploads: Default::default(),
            started: SystemTime::now(),
            admin_url: admin.as_ref().map(|(_, url)| url.clone()),
        });
        state.adjust(|_| {});
        let (stop, stopped) = watch::channel(false);
        let mut tasks = vec![
            tokio::spawn(scheduler.run(stopped.clone())),
            tokio::spawn(objects.serve(stopped.clone())),
            tokio::spawn(crate::server::serve(listener, state.clone(), stopped.clone())),
        ];
        if let Some((listener, _)) = admin {
            tasks.push(tokio::spawn(crate::admin::serve(listener, state.clone(), stopped)));
        }
        Ok(Simulator::new(state, stop, tasks, guard))
    }
}

/// A new folder with a short path, for paths in it grow long.
fn temporary_root() -> Result<PathBuf, Error> {
    let name = uuid::Uuid::new_v4().simple().to_string();
    let root = std::env::temp_dir().join(format!("fcs-{}", &name[..10]));
    std::fs::create_dir(&root).map_err(|error| Error::Root(root.clone(), error))?;
    Ok(root)
}
