//! `aiida:hpc/configuration`.

use super::bindings::aiida::hpc::types::Error;
use super::bindings::exports::aiida::hpc::configuration as wit;
use super::{Plugin, converted, platform, run};
use crate::firecrest::v2::lenient::{FileSystem, ServiceHealth, System};
use crate::firecrest::v2::limits;
use crate::options::{DESCRIPTIONS, Description, OptionKind, Version};
use crate::session::Session;

impl wit::Guest for Plugin {
    fn describe() -> wit::PluginInfo {
        wit::PluginInfo {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: env!("CARGO_PKG_DESCRIPTION").to_owned(),
        }
    }

    fn options() -> Vec<wit::OptionDescription> {
        DESCRIPTIONS.iter().map(Into::into).collect()
    }

    fn check(values: wit::OptionValues) -> Result<wit::ServerInfo, Error> {
        let checked = run(async {
            let session = Session::open(platform(), &values, None).await?;
            let user = session.whoami().await?;
            Ok::<_, crate::error::Error>((session, user))
        });
        let (session, user) = checked?;
        let version = Version::parse(&session.version);
        Ok(wit::ServerInfo {
            product: "FirecREST".to_owned(),
            version: session.version,
            systems: session.systems.into_iter().map(|system| system_info(system, version)).collect(),
            user: user.into(),
        })
    }
}

impl From<&Description> for wit::OptionDescription {
    fn from(option: &Description) -> Self {
        Self {
            name: option.name.to_owned(),
            kind: match option.kind {
                OptionKind::Text => wit::OptionKind::Text,
                OptionKind::Secret => wit::OptionKind::Secret,
                OptionKind::Integer => wit::OptionKind::Integer,
                OptionKind::Number => wit::OptionKind::Number,
                OptionKind::Flag => wit::OptionKind::Flag,
            },
            prompt: option.prompt.to_owned(),
            help: option.help.to_owned(),
            default: option.default.map(str::to_owned),
            required: option.required,
        }
    }
}

fn system_info(system: System, version: Option<Version>) -> wit::SystemInfo {
    let (upload_limit, download_limit) = limits::of(&system, version);
    wit::SystemInfo {
        name: system.name,
        scheduler: system.scheduler,
        scheduler_version: system.scheduler_version,
        services: converted(system.services),
        file_systems: converted(system.file_systems),
        upload_limit,
        download_limit,
        transfer_method: system.transfer_method,
        part_size: system.max_part_size,
    }
}

impl From<ServiceHealth> for wit::ServiceHealth {
    fn from(health: ServiceHealth) -> Self {
        Self { kind: health.kind, path: health.path, healthy: health.healthy, message: health.message }
    }
}

impl From<FileSystem> for wit::FileSystem {
    fn from(system: FileSystem) -> Self {
        Self { path: system.path, kind: system.kind, default_work_directory: system.default_work_directory }
    }
}
