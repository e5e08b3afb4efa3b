//! The class that Python sees: one configuration, and the contract's functions on it.

use crate::call::Call;
use crate::convert::{self, Bytes};
use crate::pool::{Pool, Repeat};
use aiida_firecrest_host::scheduler::{JobQuery, ScriptSource, Submission};
use aiida_firecrest_host::transport::{
    Command, CompressOptions, Compression, ExtractOptions, ListOptions, OverwritePolicy, TransferOptions,
};
use aiida_firecrest_host::types::FileKind;
use aiida_firecrest_host::{Error, Options};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A configuration, ready to be called. Makes no request by itself.
#[pyclass(frozen, module = "aiida_firecrest_wasm._native")]
pub(crate) struct Client {
    pool: Arc<Pool>,
}

/// `call!(self, [path], |session| session.stat(&path))`: one call in a session of the pool, with what it needs in brackets.
///
/// Where the server says "too many requests" for longer than the component waits, it is made again: what was refused has not happened.
macro_rules! call {
    ($client:expr, [$($given:ident),*], |$session:ident| $work:expr) => {
        call!(Repeat::WhenRefused, $client, [$($given),*], |$session| $work)
    };
    ($repeat:expr, $client:expr, [$($given:ident),*], |$session:ident| $work:expr) => {{
        let pool = $client.pool.clone();
        Call::of(async move {
            // In place: only there is its lifetime inferred.
            pool.run($repeat, move |$session| {
                $( let $given = $given.clone(); )*
                Box::pin(async move { $work.await })
            })
            .await
        })
    }};
}

/// As `call!`, for what runs a job: a refusal may come when the job has been submitted already.
macro_rules! job {
    ($client:expr, [$($given:ident),*], |$session:ident| $work:expr) => {
        call!(Repeat::Never, $client, [$($given),*], |$session| $work)
    };
}

#[pymethods]
impl Client {
    /// `options`: names and values as the plugin's options are called. `size`: so many calls at once.
    #[new]
    fn new(options: BTreeMap<String, String>, size: usize) -> PyResult<Client> {
        let options: Options = options.into_iter().collect();
        Ok(Client { pool: Pool::of(options, size)? })
    }

    fn __repr__(&self) -> String {
        let origins: Vec<String> = self.pool.origins().iter().map(ToString::to_string).collect();
        format!("<Client {}>", origins.join(" "))
    }

    /// Opens a session where none is open: shows that server and credentials work.
    fn open(&self) -> Call {
        let pool = self.pool.clone();
        Call::of(async move { pool.run(Repeat::WhenRefused, |_| Box::pin(std::future::ready(Ok(())))).await })
    }

    fn whoami(&self) -> Call {
        call!(self, [], |session| session.whoami())
    }

    fn stat(&self, path: String) -> Call {
        call!(self, [path], |session| session.stat(&path))
    }

    fn lstat(&self, path: String) -> Call {
        call!(self, [path], |session| session.lstat(&path))
    }

    fn exists(&self, path: String) -> Call {
        call!(self, [path], |session| session.exists(&path))
    }

    #[pyo3(signature = (path, recursive = false, hidden = true))]
    fn list(&self, path: String, recursive: bool, hidden: bool) -> Call {
        let options = ListOptions { recursive, hidden, pattern: None };
        call!(self, [path, options], |session| session.list(&path, &options))
    }

    fn glob(&self, pattern: String) -> Call {
        call!(self, [pattern], |session| session.glob(&pattern))
    }

    fn mkdir(&self, path: String, parents: bool, exist_ok: bool) -> Call {
        call!(self, [path], |session| session.mkdir(&path, parents, exist_ok))
    }

    /// `is_file`: known to be one, which saves a look.
    #[pyo3(signature = (path, is_file = false))]
    fn remove(&self, path: String, is_file: bool) -> Call {
        call!(self, [path], |session| session.remove(&path, is_file.then_some(FileKind::Regular)))
    }

    fn remove_tree(&self, path: String) -> Call {
        call!(self, [path], |session| session.remove_tree(&path))
    }

    fn rename(&self, path: String, new_path: String) -> Call {
        job!(self, [path, new_path], |session| session.rename(&path, &new_path))
    }

    fn copy(&self, path: String, target: String, dereference: bool) -> Call {
        job!(self, [path, target], |session| session.copy(&path, &target, dereference))
    }

    fn symlink(&self, target: String, link: String) -> Call {
        call!(self, [target, link], |session| session.symlink(&target, &link))
    }

    fn read_link(&self, path: String) -> Call {
        call!(self, [path], |session| session.read_link(&path))
    }

    fn chmod(&self, path: String, mode: u32) -> Call {
        call!(self, [path], |session| session.chmod(&path, mode))
    }

    fn chown(&self, path: String, uid: Option<u32>, gid: Option<u32>) -> Call {
        call!(self, [path], |session| session.chown(&path, uid, gid))
    }

    fn checksum(&self, path: String) -> Call {
        call!(self, [path], |session| session.checksum(&path))
    }

    #[pyo3(signature = (path, offset = 0, length = None))]
    fn read(&self, path: String, offset: u64, length: Option<u64>) -> Call {
        call!(self, [path], |session| async { session.read(&path, offset, length).await.map(Bytes) })
    }

    #[pyo3(signature = (path, data, mode = None))]
    fn write(&self, path: String, data: Vec<u8>, mode: Option<u32>) -> Call {
        call!(self, [path, data], |session| session.write(&path, &data, mode))
    }

    /// Writes a small local file as it is: no permission bits but those given, and never into a directory.
    #[pyo3(signature = (local, path, mode = None))]
    fn write_file(&self, local: PathBuf, path: String, mode: Option<u32>) -> Call {
        let pool = self.pool.clone();
        Call::of(async move {
            let file = local.clone();
            let read = crate::runtime::tokio().spawn_blocking(move || std::fs::read(&file));
            let bytes = match read.await {
                Ok(bytes) => bytes.map_err(|error| Error::io(&local, error))?,
                Err(error) => return Err(Error::Runtime(error.to_string())),
            };
            let bytes: Arc<[u8]> = bytes.into();
            pool.run(Repeat::WhenRefused, move |session| {
                let (path, bytes) = (path.clone(), bytes.clone());
                Box::pin(async move { session.write(&path, &bytes, mode).await })
            })
            .await
        })
    }

    #[pyo3(signature = (local, remote, overwrite = true, dereference = true, ignore_nonexisting = false, parents = false))]
    fn put(
        &self,
        local: PathBuf,
        remote: String,
        overwrite: bool,
        dereference: bool,
        ignore_nonexisting: bool,
        parents: bool,
    ) -> Call {
        let options = transfer(overwrite, dereference, ignore_nonexisting, parents);
        call!(self, [local, remote], |session| session.put(&local, &remote, &options))
    }

    /// `size` and `mode`: what the source is known to have, which saves a look.
    #[pyo3(signature = (remote, local, overwrite = true, dereference = true, ignore_nonexisting = false, parents = false, size = None, mode = None))]
    #[expect(clippy::too_many_arguments, reason = "Python names them")]
    fn get(
        &self,
        remote: String,
        local: PathBuf,
        overwrite: bool,
        dereference: bool,
        ignore_nonexisting: bool,
        parents: bool,
        size: Option<u64>,
        mode: Option<u32>,
    ) -> Call {
        let options = TransferOptions { size, mode, ..transfer(overwrite, dereference, ignore_nonexisting, parents) };
        call!(self, [remote, local], |session| session.get(&remote, &local, &options))
    }

    /// `compression`: `none`, `gzip`, `bzip2` or `xz`.
    fn compress(
        &self,
        sources: Vec<String>,
        archive: String,
        compression: &str,
        root: Option<String>,
        dereference: bool,
        overwrite: bool,
    ) -> PyResult<Call> {
        let compression = match compression {
            "none" => Compression::None,
            "gzip" => Compression::Gzip,
            "bzip2" => Compression::Bzip2,
            "xz" => Compression::Xz,
            other => {
                return Err(PyValueError::new_err(format!("compression: '{other}' is not none, gzip, bzip2 or xz")));
            }
        };
        let options = CompressOptions { compression, root, dereference, pattern: None, overwrite };
        Ok(job!(self, [sources, archive, options], |session| session.compress(&sources, &archive, &options)))
    }

    fn extract(&self, archive: String, target: String, strip_components: u32) -> Call {
        let options = ExtractOptions { compression: None, strip_components };
        job!(self, [archive, target], |session| session.extract(&archive, &target, &options))
    }

    /// Copies to the cluster of another client, streamed through.
    fn copy_to(&self, path: String, other: &Client, target: String, dereference: bool) -> Call {
        let (pool, other) = (self.pool.clone(), other.pool.clone());
        Call::of(async move { pool.copy_to(&other, &path, &target, dereference).await })
    }

    #[pyo3(signature = (line, working_directory = None, stdin = None, time_limit = None))]
    fn exec(
        &self,
        line: String,
        working_directory: Option<String>,
        stdin: Option<Vec<u8>>,
        time_limit: Option<u32>,
    ) -> Call {
        let environment = Vec::new();
        let command = Command { line, working_directory, environment, stdin: stdin.unwrap_or_default(), time_limit };
        job!(self, [command], |session| session.exec(&command))
    }

    /// Submits the script at a path.
    fn submit(&self, script: String, working_directory: String) -> Call {
        let submission = Submission {
            script: ScriptSource::Path(script),
            working_directory,
            name: None,
            account: None,
            environment: Vec::new(),
        };
        call!(self, [submission], |session| session.submit(&submission))
    }

    /// Jobs by their ids; without ids all of mine.
    #[pyo3(signature = (ids = None))]
    fn jobs(&self, ids: Option<Vec<String>>) -> Call {
        let query = ids.map_or(JobQuery::Mine, JobQuery::Ids);
        call!(self, [query], |session| session.jobs(&query))
    }

    /// How the cancellation of each job ended.
    fn cancel(&self, ids: Vec<String>) -> Call {
        call!(self, [ids], |session| async {
            session.cancel(&ids).await.map(|outcomes| outcomes.into_iter().map(convert::outcome).collect::<Vec<_>>())
        })
    }

    fn details(&self, id: String) -> Call {
        call!(self, [id], |session| session.details(&id))
    }

    /// The server: its version, and the systems it offers.
    fn check(&self) -> PyResult<Call> {
        let plugin = crate::runtime::plugin()?;
        let pool = self.pool.clone();
        Ok(Call::of(async move { pool.check(&plugin).await }))
    }
}

fn transfer(overwrite: bool, dereference: bool, ignore_nonexisting: bool, parents: bool) -> TransferOptions {
    let overwrite = if overwrite { OverwritePolicy::Replace } else { OverwritePolicy::Fail };
    TransferOptions { overwrite, dereference, ignore_nonexisting, parents, ..Default::default() }
}
