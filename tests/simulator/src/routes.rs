//! The table of routes, with the places in the real server that its validation errors name.

use crate::errors::Origin;
use crate::router::origin;

/// What a route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Systems,
    Nodes,
    Reservations,
    Partitions,
    UserInfo,
    Liveness,
    Submit,
    Jobs,
    Job,
    Metadata,
    Attach,
    Cancel,
    Chmod,
    Chown,
    Ls,
    Head,
    View,
    Tail,
    Checksum,
    FileType,
    Stat,
    Rm,
    Mkdir,
    Symlink,
    Download,
    Upload,
    Compress,
    Extract,
    TransferUpload,
    TransferDownload,
    TransferMv,
    TransferCp,
    TransferRm,
    TransferCompress,
    TransferExtract,
}

/// Which part of the server a route belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    Status,
    Compute,
    Ops,
    Transfer,
}

impl Endpoint {
    pub(crate) fn area(self) -> Area {
        let path = ROUTES.iter().find(|(endpoint, _)| *endpoint == self).map_or("", |(_, origin)| origin.path);
        if path.starts_with("/status") {
            Area::Status
        } else if path.starts_with("/compute") {
            Area::Compute
        } else if path.contains("/ops/") {
            Area::Ops
        } else {
            Area::Transfer
        }
    }

    /// Whether its body is JSON.
    pub(crate) fn takes_json(self) -> bool {
        self != Self::Upload
            && ROUTES.iter().any(|(endpoint, origin)| *endpoint == self && matches!(origin.method, "POST" | "PUT"))
    }
}

/// What a method and a path lead to.
pub(crate) enum Found {
    /// A route, with what its placeholders stand for.
    Route(Endpoint, Origin, Vec<String>),
    /// A path that has other methods.
    OtherMethod(&'static str),
    /// A path that exists with, or without, a slash at its end.
    OtherSlash(String),
    Nothing,
}

/// Finds the route. The path is in lower case, as the server makes it.
pub(crate) fn find(method: &str, path: &str) -> Found {
    let mut other = None;
    for (endpoint, origin) in ROUTES {
        let Some(captures) = captures(origin.path, path) else {
            continue;
        };
        if origin.method == method {
            return Found::Route(*endpoint, *origin, captures);
        }
        other.get_or_insert(origin.method);
    }
    if let Some(allow) = other {
        return Found::OtherMethod(allow);
    }
    let toggled = match path.strip_suffix('/') {
        Some(bare) => bare.to_owned(),
        None => format!("{path}/"),
    };
    if ROUTES.iter().any(|(_, origin)| captures(origin.path, &toggled).is_some()) {
        return Found::OtherSlash(toggled);
    }
    Found::Nothing
}

fn captures(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut wanted = pattern.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(found),
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {
                found.push(given.to_owned());
            }
            (Some(wanted), Some(given)) if wanted == given => {}
            _ => return None,
        }
    }
}

const STATUS: &str = "firecrest/status/router.py";
const COMPUTE: &str = "firecrest/compute/router.py";
const OPS: &str = "firecrest/filesystem/ops/router.py";
const TRANSFER: &str = "firecrest/filesystem/transfer/router.py";

const ROUTES: &[(Endpoint, Origin)] = &[
    (Endpoint::Systems, origin(STATUS, 57, "get_systems", "GET", "/status/systems")),
    (Endpoint::Nodes, origin(STATUS, 68, "get_system_nodes", "GET", "/status/{system_name}/nodes")),
    (
        Endpoint::Reservations,
        origin(STATUS, 99, "get_system_reservations", "GET", "/status/{system_name}/reservations"),
    ),
    (Endpoint::Partitions, origin(STATUS, 126, "get_system_partitions", "GET", "/status/{system_name}/partitions")),
    (Endpoint::UserInfo, origin(STATUS, 159, "get_userinfo", "GET", "/status/{system_name}/userinfo")),
    (Endpoint::Liveness, origin(STATUS, 197, "get_liveness", "GET", "/status/liveness/")),
    (Endpoint::Submit, origin(COMPUTE, 40, "post_job_submit", "POST", "/compute/{system_name}/jobs")),
    (Endpoint::Jobs, origin(COMPUTE, 70, "get_jobs", "GET", "/compute/{system_name}/jobs")),
    (Endpoint::Job, origin(COMPUTE, 117, "get_job", "GET", "/compute/{system_name}/jobs/{job_id}")),
    (
        Endpoint::Metadata,
        origin(COMPUTE, 144, "get_job_metadata", "GET", "/compute/{system_name}/jobs/{job_id}/metadata"),
    ),
    (Endpoint::Attach, origin(COMPUTE, 171, "attach", "PUT", "/compute/{system_name}/jobs/{job_id}/attach")),
    (Endpoint::Cancel, origin(COMPUTE, 197, "delete_job_cancel", "DELETE", "/compute/{system_name}/jobs/{job_id}")),
    (Endpoint::Chmod, origin(OPS, 80, "put_chmod", "PUT", "/filesystem/{system_name}/ops/chmod")),
    (Endpoint::Chown, origin(OPS, 113, "put_chown", "PUT", "/filesystem/{system_name}/ops/chown")),
    (Endpoint::Ls, origin(OPS, 148, "get_ls", "GET", "/filesystem/{system_name}/ops/ls")),
    (Endpoint::Head, origin(OPS, 198, "get_head", "GET", "/filesystem/{system_name}/ops/head")),
    (Endpoint::View, origin(OPS, 280, "get_view", "GET", "/filesystem/{system_name}/ops/view")),
    (Endpoint::Tail, origin(OPS, 348, "get_tail", "GET", "/filesystem/{system_name}/ops/tail")),
    (Endpoint::Checksum, origin(OPS, 425, "get_checksum", "GET", "/filesystem/{system_name}/ops/checksum")),
    (Endpoint::FileType, origin(OPS, 455, "get_file", "GET", "/filesystem/{system_name}/ops/file")),
    (Endpoint::Stat, origin(OPS, 482, "get_stat", "GET", "/filesystem/{system_name}/ops/stat")),
    (Endpoint::Rm, origin(OPS, 512, "delete_rm", "DELETE", "/filesystem/{system_name}/ops/rm")),
    (Endpoint::Mkdir, origin(OPS, 538, "post_mkdir", "POST", "/filesystem/{system_name}/ops/mkdir")),
    (Endpoint::Symlink, origin(OPS, 570, "post_symlink", "POST", "/filesystem/{system_name}/ops/symlink")),
    (Endpoint::Download, origin(OPS, 601, "get_download", "GET", "/filesystem/{system_name}/ops/download")),
    (Endpoint::Upload, origin(OPS, 637, "post_upload", "POST", "/filesystem/{system_name}/ops/upload")),
    (Endpoint::Compress, origin(OPS, 687, "post_compress", "POST", "/filesystem/{system_name}/ops/compress")),
    (Endpoint::Extract, origin(OPS, 723, "post_extract", "POST", "/filesystem/{system_name}/ops/extract")),
    (
        Endpoint::TransferUpload,
        origin(TRANSFER, 111, "post_upload", "POST", "/filesystem/{system_name}/transfer/upload"),
    ),
    (
        Endpoint::TransferDownload,
        origin(TRANSFER, 161, "post_download", "POST", "/filesystem/{system_name}/transfer/download"),
    ),
    (Endpoint::TransferMv, origin(TRANSFER, 211, "move_mv", "POST", "/filesystem/{system_name}/transfer/mv")),
    (Endpoint::TransferCp, origin(TRANSFER, 269, "post_cp", "POST", "/filesystem/{system_name}/transfer/cp")),
    (Endpoint::TransferRm, origin(TRANSFER, 330, "delete_rm", "DELETE", "/filesystem/{system_name}/transfer/rm")),
    (
        Endpoint::TransferCompress,
        origin(TRANSFER, 388, "compress", "POST", "/filesystem/{system_name}/transfer/compress"),
    ),
    (Endpoint::TransferExtract, origin(TRANSFER, 473, "extract", "POST", "/filesystem/{system_name}/transfer/extract")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_found() {
        assert!(matches!(
            find("GET", "/compute/cluster/jobs/12/metadata"),
            Found::Route(Endpoint::Metadata, _, captures) if captures == ["cluster", "12"]
        ));
        assert!(matches!(find("GET", "/filesystem/cluster/ops/mkdir"), Found::OtherMethod("POST")));
        assert!(matches!(find("GET", "/nope"), Found::Nothing));
        assert!(matches!(
            find("GET", "/status/liveness"),
            Found::OtherSlash(path) if path == "/status/liveness/"
        ));
        assert!(matches!(find("GET", "/status/systems"), Found::Route(Endpoint::Systems, _, _)));
    }
}
