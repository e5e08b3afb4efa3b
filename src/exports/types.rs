//! `aiida:hpc/types`: errors, kinds of files, and who somebody is.

use super::bindings::aiida::hpc::types as wit;
use super::bindings::exports::aiida::hpc::configuration::Identity;
use crate::error::{Error, Kind};
use crate::firecrest::v2::lenient::UserInfo;
use crate::firecrest::v2::listing::FileKind;

impl From<Error> for wit::Error {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind.into(),
            message: error.info.message,
            subject: error.info.subject,
            http_status: error.info.http_status,
            server_message: error.info.server_message,
            request_id: error.info.request_id,
            retry_after_ms: error.info.retry_after_ms,
        }
    }
}

impl From<Kind> for wit::ErrorKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::NotFound => Self::NotFound,
            Kind::AlreadyExists => Self::AlreadyExists,
            Kind::NotADirectory => Self::NotADirectory,
            Kind::IsADirectory => Self::IsADirectory,
            Kind::NotEmpty => Self::NotEmpty,
            Kind::PermissionDenied => Self::PermissionDenied,
            Kind::Unauthenticated => Self::Unauthenticated,
            Kind::InvalidArgument => Self::InvalidArgument,
            Kind::TooLarge => Self::TooLarge,
            Kind::RateLimited => Self::RateLimited,
            Kind::Timeout => Self::Timeout,
            Kind::Unavailable => Self::Unavailable,
            Kind::ChecksumMismatch => Self::ChecksumMismatch,
            Kind::OutcomeUnknown => Self::OutcomeUnknown,
            Kind::Cancelled => Self::Cancelled,
            Kind::Unsupported => Self::Unsupported,
            Kind::Other => Self::Other,
        }
    }
}

impl From<FileKind> for wit::FileKind {
    fn from(kind: FileKind) -> Self {
        match kind {
            FileKind::Regular => Self::Regular,
            FileKind::Directory => Self::Directory,
            FileKind::Symlink => Self::Symlink,
            FileKind::BlockDevice => Self::BlockDevice,
            FileKind::CharacterDevice => Self::CharacterDevice,
            FileKind::Fifo => Self::Fifo,
            FileKind::Socket => Self::Socket,
            FileKind::Unknown => Self::Unknown,
        }
    }
}

impl From<wit::FileKind> for FileKind {
    fn from(kind: wit::FileKind) -> Self {
        match kind {
            wit::FileKind::Regular => Self::Regular,
            wit::FileKind::Directory => Self::Directory,
            wit::FileKind::Symlink => Self::Symlink,
            wit::FileKind::BlockDevice => Self::BlockDevice,
            wit::FileKind::CharacterDevice => Self::CharacterDevice,
            wit::FileKind::Fifo => Self::Fifo,
            wit::FileKind::Socket => Self::Socket,
            wit::FileKind::Unknown => Self::Unknown,
        }
    }
}

impl From<UserInfo> for Identity {
    fn from(info: UserInfo) -> Self {
        let small = |id: Option<u64>| id.and_then(|id| u32::try_from(id).ok());
        Self {
            name: info.name,
            uid: small(info.id),
            group: info.group,
            gid: small(info.group_id),
            groups: info.groups,
            accounts: info.accounts,
            default_account: info.default_account,
        }
    }
}
