//! File operations that act at once: `/filesystem/{system}/ops/*`. Each runs the command that the real server runs, as the
//! simulated user, and reads its output the same way.

mod ls;
mod multipart;
mod read;
mod tar;
mod write;

use crate::errors::ApiError;
use crate::request::Request;
use crate::router::Answer;
use crate::routes::Endpoint;
use crate::state::Ctx;

pub(crate) use multipart::file as form_file;
pub(crate) use tar::{Compression, compression};

/// The names that a request's path goes by; the first is the one that errors name.
pub(crate) const PATH: &[&str] = &["sourcePath", "source_path", "path"];
/// The names of a target path.
pub(crate) const TARGET: &[&str] = &["targetPath", "target_path"];

/// Answers one operation.
pub(crate) async fn handle(ctx: &Ctx, endpoint: Endpoint, request: &Request, user: &str) -> Result<Answer, ApiError> {
    ctx.need_ssh()?;
    let has_body = endpoint.takes_json() || endpoint == Endpoint::Upload;
    ctx.need_file_system(request, has_body)?;
    let call = Call { ctx, request, user };
    let least = crate::read(&ctx.state.knobs).file_operation_cost;
    let end = tokio::time::Instant::now() + least;
    let answer = act(&call, endpoint).await;
    if !least.is_zero() {
        tokio::time::sleep_until(end).await;
    }
    answer
}

async fn act(call: &Call<'_>, endpoint: Endpoint) -> Result<Answer, ApiError> {
    match endpoint {
        Endpoint::Ls => ls::get(call).await,
        Endpoint::Stat => read::stat(call).await,
        Endpoint::Head => read::head(call).await,
        Endpoint::Tail => read::tail(call).await,
        Endpoint::View => read::view(call).await,
        Endpoint::Checksum => read::checksum(call).await,
        Endpoint::FileType => read::file_type(call).await,
        Endpoint::Download => read::download(call).await,
        Endpoint::Chmod => write::chmod(call).await,
        Endpoint::Chown => write::chown(call).await,
        Endpoint::Mkdir => write::mkdir(call).await,
        Endpoint::Symlink => write::symlink(call).await,
        Endpoint::Rm => write::rm(call).await,
        Endpoint::Upload => write::upload(call).await,
        Endpoint::Compress => tar::compress(call).await,
        Endpoint::Extract => tar::extract(call).await,
        _ => Err(ApiError::new(404, "Not Found")),
    }
}

/// One operation's request.
pub(crate) struct Call<'a> {
    pub(crate) ctx: &'a Ctx,
    pub(crate) request: &'a Request,
    user: &'a str,
}

impl Call<'_> {
    /// The server first looks for the user's key when it is about to run a command.
    fn connect(&self) -> Result<(), ApiError> {
        self.ctx.need_key(self.user)
    }
}
