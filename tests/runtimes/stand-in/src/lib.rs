//! Stands in for a host, where a component is run by one that knows WASI alone. Composed with a plugin (`../command.wac`, `../guarded.wac`), it
//! provides what the contract wants beyond WASI, and what a runtime's own wasi:http lacks: a list of the origins that may be asked.
//!
//! | export | what it does |
//! |---|---|
//! | `aiida:hpc/progress` | nothing is shown, nothing is stopped |
//! | `aiida:hpc/permissions` | a host without permission bits: a file from here gets the cluster's own, one from there this machine's |
//! | `wasi:http/outgoing-handler` | passes on what goes to an origin of `ALLOWED_ORIGINS`; anything else is `HTTP-request-denied`, and nothing is sent |
//!
//! `ALLOWED_ORIGINS` is an environment variable of the whole composition: origins as `scheme://host` or `scheme://host:port`, blanks between them.
//! Without it no origin is allowed. A name is compared, not an address: whoever controls the name's DNS decides where it leads.
#![cfg(target_family = "wasm")]

#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package aiida:stand-in;
            world stand-in {
                export aiida:hpc/progress@0.1.0;
                export aiida:hpc/permissions@0.1.0;
                export wasi:http/outgoing-handler@0.2.12;
            }
        ",
        path: "../../../wit",
        with: {
            "wasi:io/error@0.2.12": wasip2::io::error,
            "wasi:io/poll@0.2.12": wasip2::io::poll,
            "wasi:io/streams@0.2.12": wasip2::io::streams,
            "wasi:clocks/monotonic-clock@0.2.12": wasip2::clocks::monotonic_clock,
            "wasi:http/types@0.2.12": wasip2::http::types,
        },
    });
}

use bindings::exports::aiida::hpc::{permissions, progress};
use bindings::exports::wasi::http::outgoing_handler;
use wasip2::http::outgoing_handler::FutureIncomingResponse;
use wasip2::http::types::{ErrorCode, OutgoingRequest, RequestOptions, Scheme};

struct StandIn;

bindings::export!(StandIn with_types_in bindings);

impl progress::Guest for StandIn {
    fn report(_: progress::Status) -> progress::Answer {
        progress::Answer::Proceed
    }
}

impl permissions::Guest for StandIn {
    fn get(_: String) -> Option<u32> {
        None
    }

    fn set(_: String, _: u32) -> bool {
        false
    }
}

impl outgoing_handler::Guest for StandIn {
    fn handle(request: OutgoingRequest, options: Option<RequestOptions>) -> Result<FutureIncomingResponse, ErrorCode> {
        if !allowed(&request) {
            return Err(ErrorCode::HttpRequestDenied);
        }
        wasip2::http::outgoing_handler::handle(request, options)
    }
}

fn allowed(request: &OutgoingRequest) -> bool {
    let scheme = match request.scheme() {
        Some(Scheme::Http) => "http",
        Some(Scheme::Https) => "https",
        // A runtime is free to take a default of its own here: it is not asked.
        Some(Scheme::Other(_)) | None => return false,
    };
    let asked = request.authority().map(|authority| origin(scheme, &authority));
    let list = std::env::var("ALLOWED_ORIGINS").unwrap_or_default();
    let mut listed = list.split_whitespace().filter_map(|text| {
        let (scheme, authority) = text.split_once("://")?;
        Some(origin(&scheme.to_ascii_lowercase(), authority))
    });
    listed.any(|origin| asked.as_ref() == Some(&origin))
}

/// An origin's one spelling: in lower case, with its port. User names and whatever else can be written into an authority stay, and then match nothing.
fn origin(scheme: &str, authority: &str) -> String {
    let authority = authority.to_ascii_lowercase();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    match (has_port, scheme) {
        (false, "http") => format!("{scheme}://{authority}:80"),
        (false, "https") => format!("{scheme}://{authority}:443"),
        _ => format!("{scheme}://{authority}"),
    }
}
