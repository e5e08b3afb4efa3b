//! From hyper's errors to the exact code of wasi:http, since a plugin decides by it whether a request may be repeated.
//!
//! | code                                                            | was the request sent? |
//! |-----------------------------------------------------------------|-----------------------|
//! | `HTTP-request-denied`, `destination-IP-prohibited`, `DNS-error`, `connection-refused`, `connection-timeout`, `destination-unavailable`, `TLS-*` | no |
//! | `connection-terminated`, `HTTP-protocol-error`                  | perhaps: no whole answer came |
//! | `connection-read-timeout`, `connection-write-timeout`           | perhaps: the server was silent for too long, after or during the request's body |
//! | `HTTP-response-incomplete`                                      | yes: the answer broke off |

use super::connect::{ConnectTimeout, LocalName, NameFailure};
use std::error::Error as StdError;
use std::io;
use std::time::Duration;
use wasmtime_wasi_http::Error as HttpError;

/// A code for the plugin, and a few words for a person.
pub(crate) struct Failure {
    pub(crate) code: HttpError,
    pub(crate) text: String,
    /// True where the words say more than the code does.
    pub(crate) telling: bool,
}

impl Failure {
    fn new(code: HttpError, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into(), telling: false }
    }

    fn telling(code: HttpError, text: impl Into<String>) -> Failure {
        Failure { telling: true, ..Failure::new(code, text) }
    }

    /// No answer within the first-byte limit.
    pub(crate) fn no_first_byte(limit: Duration, body_sent: bool) -> Failure {
        if body_sent {
            Failure::new(HttpError::ConnectionReadTimeout, format!("no answer within {limit:?}"))
        } else {
            Failure::new(HttpError::ConnectionWriteTimeout, format!("the server took no data for {limit:?}"))
        }
    }

    /// An answer's body stopped coming.
    pub(crate) fn silent(limit: Duration) -> Failure {
        Failure::new(HttpError::ConnectionReadTimeout, format!("no data for {limit:?}"))
    }

    /// A request that got no answer.
    pub(crate) fn of_exchange(error: &hyper_util::client::legacy::Error) -> Failure {
        if error.is_connect() {
            return Failure::of_connecting(error);
        }
        if let Some(own) = find::<HttpError>(error) {
            return Failure::new(own_code(own), format!("the plugin's request body failed: {own}"));
        }
        if let Some(hyper) = find::<hyper::Error>(error) {
            if hyper.is_canceled() {
                return Failure::new(
                    HttpError::DestinationUnavailable,
                    "the connection was closed before the request was sent",
                );
            }
            if hyper.is_parse() || hyper.is_parse_too_large() {
                return Failure::new(HttpError::HttpProtocolError, "the answer is not HTTP");
            }
        }
        if find_io(error).is_some_and(is_cut) {
            return Failure::new(
                HttpError::ConnectionTerminated,
                format!("the connection was cut: {}", innermost(error)),
            );
        }
        match find::<hyper::Error>(error) {
            Some(hyper) if hyper.is_incomplete_message() || hyper.is_closed() => {
                Failure::new(HttpError::ConnectionTerminated, "the connection was closed without an answer")
            }
            _ => Failure::new(HttpError::ConnectionTerminated, innermost(error)),
        }
    }

    fn of_connecting(error: &(dyn StdError + 'static)) -> Failure {
        if let Some(error) = find::<ConnectTimeout>(error) {
            return Failure::new(HttpError::ConnectionTimeout, error.to_string());
        }
        if let Some(error) = find::<NameFailure>(error) {
            let code = HttpError::DnsError { rcode: Some("name not resolved".into()), info_code: None };
            return Failure::new(code, error.to_string());
        }
        if let Some(error) = find::<LocalName>(error) {
            return Failure::telling(HttpError::DestinationIpProhibited, error.to_string());
        }
        if let Some(error) = find::<rustls::Error>(error) {
            return Failure::of_tls(error);
        }
        let text = innermost(error);
        match find_io(error) {
            Some(io::ErrorKind::ConnectionRefused) => Failure::new(HttpError::ConnectionRefused, "connection refused"),
            Some(io::ErrorKind::TimedOut) => Failure::new(HttpError::ConnectionTimeout, text),
            // The TCP connection stood, so it is the handshake that was cut.
            Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                Failure::new(HttpError::TlsProtocolError, "the connection was cut during the TLS handshake")
            }
            _ => Failure::telling(HttpError::DestinationUnavailable, text),
        }
    }

    fn of_tls(error: &rustls::Error) -> Failure {
        match error {
            rustls::Error::InvalidCertificate(reason) => Failure::telling(
                HttpError::TlsCertificateError,
                format!("the server's certificate is not valid: {reason}"),
            ),
            rustls::Error::AlertReceived(alert) => {
                let code = HttpError::TlsAlertReceived {
                    alert_id: Some((*alert).into()),
                    alert_message: Some(format!("{alert:?}")),
                };
                Failure::telling(code, format!("the server refused the TLS handshake: {alert:?}"))
            }
            rustls::Error::InvalidMessage(_) => Failure::telling(HttpError::TlsProtocolError, "is it http, not https?"),
            other => Failure::telling(HttpError::TlsProtocolError, format!("TLS: {other}")),
        }
    }

    /// An answer whose body broke off.
    pub(crate) fn of_body(error: &hyper::Error) -> Failure {
        if error.is_timeout() {
            return Failure::new(HttpError::HttpResponseTimeout, "the answer took too long");
        }
        if error.is_parse() {
            return Failure::new(HttpError::HttpProtocolError, "the answer's body is not HTTP");
        }
        Failure::new(HttpError::HttpResponseIncomplete, format!("the answer broke off: {}", innermost(error)))
    }
}

fn is_cut(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as K;
    matches!(kind, K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof | K::NotConnected)
}

/// wasmtime's error type has no Clone; these are what a request body can fail with.
fn own_code(error: &HttpError) -> HttpError {
    match error {
        HttpError::HttpRequestBodySize(size) => HttpError::HttpRequestBodySize(*size),
        _ => HttpError::HttpProtocolError,
    }
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| -> Option<&'a (dyn StdError + 'static)> {
        let error: &'a (dyn StdError + 'static) = *error;
        // An io::Error's source is its inner error's source; the inner error itself would be passed over.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref::<E>())
}

/// What the operating system said; `Other` is but a wrapper around another error.
fn find_io(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    chain(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .map(io::Error::kind)
        .find(|kind| *kind != io::ErrorKind::Other)
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().map_or_else(String::new, ToString::to_string)
}
