//! The contract's `transport`: files on the cluster, and between cluster and host.
//!
//! What each function means, and which errors it has, is written in `wit/transport.wit`; remote paths are absolute POSIX paths.

use super::{Peer, Session, call, working_call};
use crate::configuration::Identity;
use crate::error::{Error, Result};
use crate::leftovers::Place;
use crate::policy::{Access, folders_for, plain};
use crate::transport::{
    Command, CommandOutput, CompressOptions, Entry, ExtractOptions, FileStat, ListOptions, TransferOptions,
    TransferSummary,
};
use crate::types::FileKind;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};
use wasmtime::component::Resource;
use wasmtime_wasi::p2::pipe::{AsyncReadStream, AsyncWriteStream};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

/// How much of a stream is between guest and host at once.
const STREAM_BUFFER: usize = 256 << 10;

/// Every method returns [`Error::Plugin`] with the contract's errors, and the faults that end a [session](super).
impl Session {
    /// What is in the name of everything that this session makes on its way and removes again. Sends nothing.
    pub async fn mark(&mut self) -> Result<String> {
        let handle = self.handle;
        self.instance
            .run(async |plugin, store| plugin.aiida_hpc_transport().session().call_mark(store, handle).await)
            .await
    }

    /// Ends the jobs and removes the files that the sessions of a mark left on the cluster: in each of `places`, in the folder around it and
    /// in that of temporary files. Only for sessions that are no more; a [`Journal`](crate::Journal) does it by itself. Returns their number.
    pub async fn tidy(&mut self, mark: &str, places: &[String]) -> Result<u32> {
        call!(self, |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_tidy(store, handle, mark, places))
    }

    /// Who I am on the cluster.
    pub async fn whoami(&mut self) -> Result<Identity> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_transport().session().call_whoami(store, handle))
    }

    /// The attributes of what `path` names; a symlink is followed.
    pub async fn stat(&mut self, path: &str) -> Result<FileStat> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_transport().session().call_stat(store, handle, path))
    }

    /// The attributes of `path` itself; a symlink is not followed.
    pub async fn lstat(&mut self, path: &str) -> Result<FileStat> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_transport().session().call_lstat(store, handle, path))
    }

    /// Is there something, after following symlinks?
    pub async fn exists(&mut self, path: &str) -> Result<bool> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_transport().session().call_exists(store, handle, path))
    }

    /// The entries of a directory with their attributes, in no particular order: one request.
    pub async fn list(&mut self, path: &str, options: &ListOptions) -> Result<Vec<Entry>> {
        call!(self, |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_list(store, handle, path, options))
    }

    /// The absolute paths that match a shell pattern, sorted.
    pub async fn glob(&mut self, pattern: &str) -> Result<Vec<String>> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_transport().session().call_glob(store, handle, pattern))
    }

    /// Makes a directory: `parents` makes missing parents, too; with `exist_ok` one that is there is no error.
    pub async fn mkdir(&mut self, path: &str, parents: bool, exist_ok: bool) -> Result<()> {
        call!(self, |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_mkdir(store, handle, path, parents, exist_ok))
    }

    /// Removes a file, a symlink or an empty directory. `kind`: what the path is known to be, which can save a request.
    pub async fn remove(&mut self, path: &str, kind: Option<FileKind>) -> Result<()> {
        call!(self, |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_remove(store, handle, path, kind))
    }

    /// Removes a directory with all that is in it, or a single file. Symlinks are never followed.
    pub async fn remove_tree(&mut self, path: &str) -> Result<()> {
        call!(self, |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_remove_tree(store, handle, path))
    }

    /// Moves a file or a directory to a new name on the same cluster.
    pub async fn rename(&mut self, path: &str, new_path: &str) -> Result<()> {
        working_call!(self, Place::remote(new_path), |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_rename(store, handle, path, new_path))
    }

    /// Copies a file or a tree to a new place on the same cluster.
    pub async fn copy(&mut self, path: &str, target: &str, dereference: bool) -> Result<()> {
        working_call!(self, Place::remote(target), |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_copy(store, handle, path, target, dereference))
    }

    /// Makes `link` a symlink to `target`.
    pub async fn symlink(&mut self, target: &str, link: &str) -> Result<()> {
        working_call!(self, Place::remote(link), |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_symlink(store, handle, target, link))
    }

    /// Where a symlink points, as it was written.
    pub async fn read_link(&mut self, path: &str) -> Result<String> {
        call!(self, |plugin, store, handle| plugin.aiida_hpc_transport().session().call_read_link(store, handle, path))
    }

    /// Sets permission bits, 0o0 to 0o7777.
    pub async fn chmod(&mut self, path: &str, mode: u32) -> Result<()> {
        call!(self, |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_chmod(store, handle, path, mode))
    }

    /// Sets owner and group by number; none leaves it.
    pub async fn chown(&mut self, path: &str, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        call!(self, |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_chown(store, handle, path, uid, gid))
    }

    /// The SHA-256 checksum of a file, in lower-case hexadecimal digits.
    pub async fn checksum(&mut self, path: &str) -> Result<String> {
        working_call!(self, Place::remote(""), |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_checksum(store, handle, path))
    }

    /// A file's bytes, or a piece of them. `too-large` past the server's direct limit.
    pub async fn read(&mut self, path: &str, offset: u64, length: Option<u64>) -> Result<Vec<u8>> {
        call!(self, |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_read(store, handle, path, offset, length))
    }

    /// Makes or replaces a file with these bytes. `mode`: permission bits; none leaves the cluster's default.
    pub async fn write(&mut self, path: &str, bytes: &[u8], mode: Option<u32>) -> Result<()> {
        call!(self, |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_write(store, handle, path, bytes, mode))
    }

    /// Writes a file's bytes, or a piece of them, into a stream. Returns their number.
    pub async fn read_stream(
        &mut self,
        path: &str,
        offset: u64,
        length: Option<u64>,
        into: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<u64> {
        let stream: DynOutputStream = Box::new(AsyncWriteStream::new(STREAM_BUFFER, Pin::new(Box::new(into))));
        let stream: Resource<DynOutputStream> = self.push(stream)?;
        working_call!(self, Place::remote(path), |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_read_stream(store, handle, path, offset, length, stream))
    }

    /// Makes or replaces a file with `size` bytes from a stream. A stream that ends early leaves the old file.
    pub async fn write_stream(
        &mut self,
        path: &str,
        from: impl AsyncRead + Send + 'static,
        size: u64,
        mode: Option<u32>,
    ) -> Result<()> {
        let stream: DynInputStream = Box::new(AsyncReadStream::new(from));
        let stream: Resource<DynInputStream> = self.push(stream)?;
        working_call!(self, Place::remote(path), |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_write_stream(store, handle, path, stream, size, mode))
    }

    /// Moves a local file or tree to the cluster. `local` is absolute, and may end in a shell pattern.
    ///
    /// Where the policy grants no folders, this call may read the folder around `local`, and nothing else.
    pub async fn put(
        &mut self,
        local: impl AsRef<Path>,
        remote: &str,
        options: &TransferOptions,
    ) -> Result<TransferSummary> {
        let local = self.grant_around(local.as_ref(), Access::Read, false)?;
        let done = working_call!(self, Place::remote(remote), |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_put(store, handle, &local, remote, *options));
        self.take_back()?;
        done
    }

    /// Moves a remote file or tree to the host. `local` is absolute.
    ///
    /// Where the policy grants no folders, this call may write to the folder around `local`, and to nothing else.
    pub async fn get(
        &mut self,
        remote: &str,
        local: impl AsRef<Path>,
        options: &TransferOptions,
    ) -> Result<TransferSummary> {
        let local = self.grant_around(local.as_ref(), Access::Write, options.parents)?;
        let writable = self.instance.state()?.may_write(&local).then(|| PathBuf::from(&local));
        let done =
            working_call!(self, Place { remote: remote.to_owned(), local: writable }, |plugin, store, handle| plugin
                .aiida_hpc_transport()
                .session()
                .call_get(store, handle, remote, &local, *options));
        self.take_back()?;
        done
    }

    /// Packs files and directories into an archive on the cluster.
    pub async fn compress(&mut self, sources: &[String], archive: &str, options: &CompressOptions) -> Result<()> {
        working_call!(self, Place::remote(archive), |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_compress(store, handle, sources, archive, options))
    }

    /// Unpacks an archive on the cluster into a directory, which is made if missing.
    pub async fn extract(&mut self, archive: &str, target: &str, options: &ExtractOptions) -> Result<()> {
        working_call!(self, Place::remote(target), |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_extract(store, handle, archive, target, *options))
    }

    /// Copies a file or a tree to another session's cluster, streamed through.
    pub async fn copy_to(
        &mut self,
        path: &str,
        other: &Peer,
        target: &str,
        options: &TransferOptions,
    ) -> Result<TransferSummary> {
        self.note_at(other, target).await?;
        let handle_there = other.handle;
        let ended = working_call!(self, Place::remote(path), |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_copy_to(store, handle, path, handle_there, target, *options));
        if let Some(entry) = &mut *other.entry() {
            entry.settle(&ended);
        }
        ended
    }

    /// Runs a command as a short job, waits for it, and returns what it left. A non-zero exit code is no error.
    pub async fn exec(&mut self, command: &Command) -> Result<CommandOutput> {
        working_call!(self, Place::remote(""), |plugin, store, handle| plugin
            .aiida_hpc_transport()
            .session()
            .call_exec(store, handle, command))
    }

    /// Grants what a transfer needs, and says how the plugin is to call the local path.
    fn grant_around(&mut self, local: &Path, access: Access, parents: bool) -> Result<String> {
        let local = plain(local)?;
        let folders = folders_for(&self.policy, &local, access, parents);
        self.instance.grant(&folders)?;
        match local.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(Error::policy(local.display(), "a local path has to be UTF-8")),
        }
    }

    /// The call that begins may leave something at the other end, too.
    async fn note_at(&mut self, other: &Peer, target: &str) -> Result<()> {
        let begun = if other.entry().is_none() { self.entry_of(&other.owner).await? } else { None };
        let mut entry = other.entry();
        if begun.is_some() {
            *entry = begun;
        }
        if let Some(entry) = &mut *entry {
            entry.note(Place::remote(target));
        }
        Ok(())
    }

    /// What was granted for one call ends with it.
    fn take_back(&mut self) -> Result<()> {
        if self.policy.folders().is_empty() { self.instance.grant(self.policy.own_folders()) } else { Ok(()) }
    }

    fn push<T: Send + 'static>(&mut self, value: T) -> Result<Resource<T>> {
        self.instance.state()?.table.push(value).map_err(|error| Error::Runtime(error.to_string()))
    }
}
