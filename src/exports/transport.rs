//! `aiida:hpc/transport`.

use std::rc::Rc;

use wasip2::io::streams::{InputStream, OutputStream};

use super::bindings::aiida::hpc::types::{Error, FileKind};
use super::bindings::exports::aiida::hpc::configuration::{Identity, OptionValues};
use super::bindings::exports::aiida::hpc::transport as wit;
use super::{Plugin, converted, local, platform, run, run_watched};
use crate::firecrest::v2::listing::{self, FileKind as Kind};
use crate::firecrest::v2::models::{Compression, Stat};
use crate::local::stream::{HostFile, HostWriter};
use crate::passing;
use crate::session::Session;
use crate::transport::archive::{CompressOptions, ExtractOptions};
use crate::transport::exec::Command;
use crate::transport::inspect::ListOptions;
use crate::transport::job::Output;
use crate::transport::{Overwrite, Summary, TransferOptions, Verification};

impl wit::Guest for Plugin {
    type Session = Session;
}

impl wit::GuestSession for Session {
    fn open(values: OptionValues, state: Option<Vec<u8>>) -> Result<wit::Session, Error> {
        Ok(wit::Session::new(run(Session::open(platform(), &values, state.as_deref()))?))
    }

    fn state(&self) -> Vec<u8> {
        self.state()
    }

    fn origins(&self) -> Vec<String> {
        self.origins()
    }

    fn mark(&self) -> String {
        passing::mark(self.api.client.platform().mark())
    }

    fn tidy(&self, mark: String, places: Vec<String>) -> Result<u32, Error> {
        Ok(run_watched("tidy", &mark, self.tidy_after(&mark, &places))?)
    }

    fn whoami(&self) -> Result<Identity, Error> {
        Ok(run(self.whoami())?.into())
    }

    fn stat(&self, path: String) -> Result<wit::FileStat, Error> {
        Ok(run(self.stat(&path))?.into())
    }

    fn lstat(&self, path: String) -> Result<wit::FileStat, Error> {
        Ok(run(self.lstat(&path))?.into())
    }

    fn exists(&self, path: String) -> Result<bool, Error> {
        Ok(run(self.exists(&path))?)
    }

    fn list(&self, path: String, options: wit::ListOptions) -> Result<Vec<wit::Entry>, Error> {
        Ok(converted(run(self.list(&path, &options.into()))?))
    }

    fn glob(&self, pattern: String) -> Result<Vec<String>, Error> {
        Ok(run(self.glob(&pattern))?)
    }

    fn mkdir(&self, path: String, parents: bool, exist_ok: bool) -> Result<(), Error> {
        Ok(run(self.mkdir(&path, parents, exist_ok))?)
    }

    fn remove(&self, path: String, kind: Option<FileKind>) -> Result<(), Error> {
        Ok(run(self.remove(&path, kind.map(Into::into)))?)
    }

    fn remove_tree(&self, path: String) -> Result<(), Error> {
        Ok(run(self.remove_tree(&path))?)
    }

    fn rename(&self, path: String, new_path: String) -> Result<(), Error> {
        Ok(run_watched("rename", &path, self.rename(&path, &new_path))?)
    }

    fn copy(&self, path: String, target: String, dereference: bool) -> Result<(), Error> {
        Ok(run_watched("copy", &path, self.copy(&path, &target, dereference))?)
    }

    fn symlink(&self, target: String, link: String) -> Result<(), Error> {
        Ok(run(self.symlink(&target, &link))?)
    }

    fn read_link(&self, path: String) -> Result<String, Error> {
        Ok(run(self.read_link(&path))?)
    }

    fn chmod(&self, path: String, mode: u32) -> Result<(), Error> {
        Ok(run(self.chmod(&path, mode))?)
    }

    fn chown(&self, path: String, uid: Option<u32>, gid: Option<u32>) -> Result<(), Error> {
        Ok(run(self.chown(&path, uid, gid))?)
    }

    fn checksum(&self, path: String) -> Result<String, Error> {
        Ok(run(self.checksum(&path))?)
    }

    fn read(&self, path: String, offset: u64, length: Option<u64>) -> Result<Vec<u8>, Error> {
        Ok(run(self.read(&path, offset, length))?)
    }

    fn write(&self, path: String, bytes: Vec<u8>, mode: Option<u32>) -> Result<(), Error> {
        Ok(run(self.write(&path, bytes, mode))?)
    }

    fn read_stream(&self, path: String, offset: u64, length: Option<u64>, into: OutputStream) -> Result<u64, Error> {
        let mut into = HostWriter::new(into);
        Ok(run_watched("read-stream", &path, self.read_stream(&path, offset, length, &mut into))?)
    }

    fn write_stream(&self, path: String, from: InputStream, size: u64, mode: Option<u32>) -> Result<(), Error> {
        Ok(run_watched("write-stream", &path, self.write_stream(&path, Rc::new(HostFile::new(from, size)), mode))?)
    }

    fn put(&self, from: String, to: String, options: wit::TransferOptions) -> Result<wit::TransferSummary, Error> {
        Ok(run_watched("put", &to, async { self.put(Rc::new(local()), &from, &to, options.into()).await })?.into())
    }

    fn get(&self, from: String, to: String, options: wit::TransferOptions) -> Result<wit::TransferSummary, Error> {
        Ok(run_watched("get", &from, async { self.get(Rc::new(local()), &from, &to, options.into()).await })?.into())
    }

    fn compress(&self, sources: Vec<String>, archive: String, options: wit::CompressOptions) -> Result<(), Error> {
        Ok(run_watched("compress", &archive, self.compress(&sources, &archive, &options.into()))?)
    }

    fn extract(&self, archive: String, target: String, options: wit::ExtractOptions) -> Result<(), Error> {
        Ok(run_watched("extract", &archive, self.extract(&archive, &target, options.into()))?)
    }

    fn copy_to(
        &self,
        path: String,
        other: wit::SessionBorrow<'_>,
        target: String,
        options: wit::TransferOptions,
    ) -> Result<wit::TransferSummary, Error> {
        let other = other.get::<Session>();
        Ok(run_watched("copy-to", &path, self.copy_to(&path, other, &target, options.into()))?.into())
    }

    fn exec(&self, command: wit::Command) -> Result<wit::CommandOutput, Error> {
        let command: Command = command.into();
        Ok(run_watched("exec", &command.line, self.exec(&command))?.into())
    }
}

impl From<Stat> for wit::FileStat {
    fn from(stat: Stat) -> Self {
        Self {
            kind: Kind::from_mode(stat.mode).into(),
            mode: stat.mode,
            size: stat.size,
            inode: stat.ino,
            device: stat.dev,
            links: stat.nlink,
            uid: stat.uid,
            gid: stat.gid,
            accessed: stat.atime,
            modified: stat.mtime,
            changed: stat.ctime,
        }
    }
}

impl From<listing::Entry> for wit::Entry {
    fn from(entry: listing::Entry) -> Self {
        Self {
            path: entry.path,
            raw_path: entry.raw_path,
            kind: entry.kind.into(),
            size: entry.size,
            permissions: entry.permissions,
            owner: entry.owner,
            group: entry.group,
            modified: entry.modified,
            link_target: entry.link_target,
        }
    }
}

impl From<wit::ListOptions> for ListOptions {
    fn from(options: wit::ListOptions) -> Self {
        Self { recursive: options.recursive, hidden: options.hidden, pattern: options.pattern }
    }
}

impl From<wit::TransferOptions> for TransferOptions {
    fn from(options: wit::TransferOptions) -> Self {
        Self {
            overwrite: match options.overwrite {
                wit::OverwritePolicy::Replace => Overwrite::Replace,
                wit::OverwritePolicy::Fail => Overwrite::Fail,
                wit::OverwritePolicy::Skip => Overwrite::Skip,
            },
            dereference: options.dereference,
            ignore_nonexisting: options.ignore_nonexisting,
            parents: options.parents,
            verify: options.verify,
            size: options.size,
            mode: options.mode,
        }
    }
}

impl From<wit::Compression> for Compression {
    fn from(compression: wit::Compression) -> Self {
        match compression {
            wit::Compression::None => Self::None,
            wit::Compression::Gzip => Self::Gzip,
            wit::Compression::Bzip2 => Self::Bzip2,
            wit::Compression::Xz => Self::Xz,
        }
    }
}

impl From<wit::CompressOptions> for CompressOptions {
    fn from(options: wit::CompressOptions) -> Self {
        Self {
            compression: options.compression.into(),
            root: options.root,
            dereference: options.dereference,
            pattern: options.pattern,
            overwrite: options.overwrite,
        }
    }
}

impl From<wit::ExtractOptions> for ExtractOptions {
    fn from(options: wit::ExtractOptions) -> Self {
        Self { compression: options.compression.map(Into::into), strip_components: options.strip_components }
    }
}

impl From<wit::Command> for Command {
    fn from(command: wit::Command) -> Self {
        Self {
            line: command.line,
            working_directory: command.working_directory,
            environment: command.environment,
            stdin: command.stdin,
            time_limit: command.time_limit,
        }
    }
}

impl From<Output> for wit::CommandOutput {
    fn from(output: Output) -> Self {
        Self { exit_code: output.exit_code, stdout: output.stdout, stderr: output.stderr }
    }
}

impl From<Summary> for wit::TransferSummary {
    fn from(summary: Summary) -> Self {
        Self {
            files: summary.files,
            directories: summary.directories,
            bytes: summary.bytes,
            skipped: summary.skipped,
            verified: match summary.verified {
                Verification::None => wit::Verification::None,
                Verification::Size => wit::Verification::Size,
                Verification::Checksum => wit::Verification::Checksum,
            },
        }
    }
}
