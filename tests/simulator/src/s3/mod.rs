//! The object store: an S3 server in this process, on a loopback port of its own.
//!
//! | file | holds |
//! |---|---|
//! | `store.rs` | buckets, objects and unfinished uploads, as files under `ROOT/objects` (outside the file systems) |
//! | `api.rs` | the S3 operations on them; `s3s` does the protocol: routes, XML, signatures (checked) and their expiry |
//! | `presign.rs` | the URLs that clients and jobs are given, signed by `rusty-s3` |
//! | `serve.rs` | the listener, and what surrounds every request: health, faults, the record |
//! | `metered.rs` | bodies that are counted, and cut where a fault says so |
//! | `record.rs` | what was asked, for tests |
//! | `fault.rs` | faults that tests plant |
//!
//! Nothing is answered that is not signed with the store's one key, which nobody is told. What the store holds goes with the
//! simulator.

mod api;
mod fault;
mod metered;
mod presign;
mod record;
mod serve;
mod store;

pub use fault::{S3Fault, S3FaultKind};
pub use record::S3RequestRecord;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::faults::Struck;
use crate::knobs::Knobs;

pub(crate) use presign::{Action, Signer};

/// The header by which the job's requests are told from a client's.
pub(crate) const JOB_AGENT: &str = "firecrest-simulator-job";

/// The object store, as the rest of the simulator sees it.
pub(crate) struct ObjectStore {
    pub(crate) store: Arc<store::Store>,
    pub(crate) signer: Signer,
    pub(crate) recorder: record::Recorder,
    pub(crate) faults: Mutex<Vec<S3Fault>>,
    pub(crate) struck: Mutex<Vec<Struck>>,
    knobs: Arc<RwLock<Knobs>>,
}

/// A store that listens, and is not served yet.
pub(crate) struct Listening {
    listener: TcpListener,
    pub(crate) store: Arc<ObjectStore>,
}

impl ObjectStore {
    /// Prepares a store with its files in that folder, on any free port of that address.
    pub(crate) async fn listen(address: IpAddr, folder: &Path, knobs: Arc<RwLock<Knobs>>) -> io::Result<Listening> {
        let listener = TcpListener::bind(SocketAddr::new(address, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let signer = Signer::new(&url).map_err(io::Error::other)?;
        let store = Arc::new(store::Store::new(folder)?);
        let recorder = record::Recorder::default();
        let store = Self { store, signer, recorder, faults: Mutex::default(), struck: Mutex::default(), knobs };
        Ok(Listening { listener, store: Arc::new(store) })
    }
}

impl Listening {
    /// Serves until told to stop.
    pub(crate) async fn serve(self, stop: watch::Receiver<bool>) {
        serve::serve(self.listener, self.store, stop).await;
    }
}
