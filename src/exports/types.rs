//! `aiida:hpc/types`: errors, kinds of files, and who somebody is.

use super::bindings::aiida::hpc::types as wit;
use super::bindings::exports::aiida::hpc::configuration::Identity;
use crate::error::{Error, Kind};
use crate::firecrest::v2::listing::FileKind;
use crate::firecrest::v2::models::UserInfo;

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
            default_account: info.accounts.iter().find(|account| account.default).map(|account| account.name.clone()),
            accounts: info.accounts.into_iter().map(|account| account.name).collect(),
            uid: small(info.user.id),
            gid: info.group.as_ref().and_then(|group| small(group.id)),
            group: info.group.map(|group| group.name),
            groups: info.groups.into_iter().map(|group| group.name).collect(),
            name: info.user.name,
        }
    }
}
