//! FirecREST's API, version 2: every call that is used, and nothing else. Paths and bodies are those of its OpenAPI document (2.5.7).

pub mod files;
pub mod jobs;
pub mod lenient;
pub mod limits;
pub mod listing;
pub mod models;
pub mod status;
pub mod transfer;

use super::Client;

/// The API, for one system.
pub struct Api {
    /// The wire.
    pub client: Client,
    /// The system's name, as the user wrote it: the server does not mind the case.
    pub system: String,
}
