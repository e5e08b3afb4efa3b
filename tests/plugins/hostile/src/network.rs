//! Requests to where the host may not want them.

use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use wasip2::http::outgoing_handler::{self, FutureIncomingResponse};
use wasip2::http::types::{ErrorCode, Fields, Method, OutgoingRequest, Scheme};
use wasip2::io::poll::{Pollable, poll};

/// One request: the answer's status and the length of its body, or the error's code.
pub(crate) fn fetch(method: &str, url: &str) -> String {
    match send(method, url).and_then(wait) {
        Ok((status, bytes)) => format!("answered {status} {bytes}"),
        Err(code) => format!("{code:?}"),
    }
}

/// Opens that many requests and keeps them all: how many were refused, and with which code the last one.
pub(crate) fn crowd(count: usize, url: &str) -> String {
    let mut open = Vec::new();
    let (mut refused, mut code) = (0, String::new());
    for _ in 0..count {
        match send("GET", url) {
            Ok(future) => open.push(future),
            Err(error) => (refused, code) = (refused + 1, format!("{error:?}")),
        }
    }
    // The last ones are refused, so they are ready soon; the others wait for an answer for ever.
    if let Some(last) = open.last() {
        last.subscribe().block();
        wasip2::clocks::monotonic_clock::subscribe_duration(300_000_000).block();
    }
    let pollables: Vec<Pollable> = open.iter().map(FutureIncomingResponse::subscribe).collect();
    for at in poll(&pollables.iter().collect::<Vec<_>>()) {
        if let Some(Ok(Err(error))) = open[at as usize].get() {
            (refused, code) = (refused + 1, format!("{error:?}"));
        }
    }
    drop(pollables);
    format!("{refused} {code}")
}

/// Opens a socket as any program would, by its standard library.
pub(crate) fn socket(verb: &str, address: &str) -> String {
    let outcome = match verb {
        "connect" => TcpStream::connect(address).map(|open| format!("{open:?}")),
        "listen" => TcpListener::bind(address).map(|open| format!("{open:?}")),
        "udp" => UdpSocket::bind(address).map(|open| format!("{open:?}")),
        _ => (address, 80).to_socket_addrs().map(|found| format!("{:?}", found.collect::<Vec<_>>())),
    };
    outcome.map_or_else(|error| error.to_string(), |open| format!("OUT {open}"))
}

fn send(method: &str, url: &str) -> Result<FutureIncomingResponse, ErrorCode> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let request = OutgoingRequest::new(Fields::new());
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let method = match method {
        "GET" => Method::Get,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.to_owned()),
    };
    let invalid = || ErrorCode::InternalError(Some("the address was refused".into()));
    request.set_method(&method).map_err(|()| invalid())?;
    request.set_scheme(Some(&scheme)).map_err(|()| invalid())?;
    request.set_authority(Some(authority)).map_err(|()| invalid())?;
    request.set_path_with_query(Some(path)).map_err(|()| invalid())?;
    outgoing_handler::handle(request, None)
}

fn wait(future: FutureIncomingResponse) -> Result<(u16, usize), ErrorCode> {
    future.subscribe().block();
    let response = future.get().expect("it is ready").expect("taken once")?;
    let body = response.consume().expect("taken once");
    let stream = body.stream().expect("taken once");
    let mut bytes = 0;
    while let Ok(piece) = stream.blocking_read(1 << 16) {
        bytes += piece.len();
    }
    Ok((response.status(), bytes))
}
