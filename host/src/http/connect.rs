//! Opening a connection: name, TCP, TLS, all within one limit.

use super::body::Attempt;
use crate::error::{Error, Result};
use crate::policy::{is_local, is_local_address};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tower_service::Service;
use tracing::Instrument;

tokio::task_local! {
    /// The request that a connection is opened for: hyper-util hands the connector an address alone.
    pub(crate) static ATTEMPT: Attempt;
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connection = MaybeHttpsStream<TokioIo<TcpStream>>;

#[derive(Clone)]
pub(crate) struct Connector {
    tcp: HttpConnector<Resolver>,
    tls: Arc<OnceLock<Result<Tls, String>>>,
    /// Where connections live.
    place: Handle,
}

type Tls = HttpsConnector<HttpConnector<Resolver>>;

impl Connector {
    pub(crate) fn new(ca_files: &[PathBuf], place: Handle) -> Result<Connector> {
        let mut tcp = HttpConnector::new_with_resolver(Resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let connector = Connector { tcp, tls: Arc::default(), place };
        if !ca_files.is_empty() {
            // What is wrong with them is told to whoever opens the session.
            let _ = connector.tls.set(Ok(over_tls(connector.tcp.clone(), tls(ca_files)?)));
        }
        Ok(connector)
    }

    /// Ready when the first connection needs it: to read the system's certificates takes as long as some hundred calls.
    fn tls(&self) -> Result<Tls, String> {
        let make = || match tls(&[]) {
            Ok(config) => Ok(over_tls(self.tcp.clone(), config)),
            Err(error) => Err(error.to_string()),
        };
        self.tls.get_or_init(make).clone()
    }
}

fn over_tls(tcp: HttpConnector<Resolver>, config: ClientConfig) -> Tls {
    HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_all_versions().wrap_connector(tcp)
}

fn tls(ca_files: &[PathBuf]) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::debug!(%error, "system certificates");
    }
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for path in ca_files {
        let failed = |reason: String| Error::Certificates { path: path.clone(), reason };
        let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            let certificate = certificate.map_err(|error| failed(format!("not a PEM file: {error}")))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
            found = true;
        }
        if !found {
            return Err(failed("it holds no PEM certificate".into()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Runtime(format!("TLS: {error}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl Service<::http::Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: ::http::Uri) -> Self::Future {
        let attempt = ATTEMPT.try_with(Attempt::clone).ok();
        let mut connector = self.clone();
        let connecting = async move {
            if address.scheme() == Some(&::http::uri::Scheme::HTTPS) {
                let mut tls = connector.tls()?;
                return tls.call(address).await;
            }
            Ok(MaybeHttpsStream::Http(connector.tcp.call(address).await?))
        };
        let connecting = async move {
            let Some(attempt) = attempt else {
                return connecting.await;
            };
            let limit = attempt.connect_timeout();
            attempt.connecting(true);
            let connection = tokio::time::timeout(limit, connecting).await;
            attempt.connecting(false);
            connection.unwrap_or_else(|_| Err(Box::new(ConnectTimeout(limit))))
        };
        let mut connecting = AbortOnDrop(self.place.spawn(connecting.in_current_span()));
        Box::pin(async move { (&mut connecting.0).await? })
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// No connection within the limit.
#[derive(Debug)]
pub(crate) struct ConnectTimeout(pub(crate) Duration);

impl fmt::Display for ConnectTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection within {:?}", self.0)
    }
}

impl std::error::Error for ConnectTimeout {}

/// A name that cannot be resolved.
#[derive(Debug)]
pub(crate) struct NameFailure {
    name: String,
    error: std::io::Error,
}

impl fmt::Display for NameFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot look up {}: {}", self.name, self.error)
    }
}

/// A name that leads to this machine, and does not say so.
#[derive(Debug)]
pub(crate) struct LocalName {
    name: String,
    address: std::net::IpAddr,
}

impl fmt::Display for LocalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LocalName { name, address } = self;
        write!(f, "{name} is this machine's own address {address}: write localhost or the address to mean it")
    }
}

impl std::error::Error for LocalName {}

impl std::error::Error for NameFailure {}

/// The system's resolver. hyper-util's own cannot be told from a failed connection by its error's type.
#[derive(Clone)]
pub(crate) struct Resolver;

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            let named = name.as_str().to_owned();
            match tokio::net::lookup_host((name.as_str(), 0)).await {
                Ok(found) => Ok(elsewhere(named, found.collect())?.into_iter()),
                Err(error) => Err(NameFailure { name: named, error }.into()),
            }
        })
    }
}

/// What of a name's addresses may be connected to: whoever controls a name must not reach what listens on this machine alone.
fn elsewhere(name: String, mut found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, LocalName> {
    if is_local(&name) {
        return Ok(found);
    }
    let local = found.iter().map(SocketAddr::ip).find(|address| is_local_address(*address));
    found.retain(|address| !is_local_address(address.ip()));
    match local {
        Some(address) if found.is_empty() => Err(LocalName { name, address }),
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_here_is_not_followed() {
        let addresses = |list: &[&str]| list.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect();
        let error = elsewhere("rebound.example.org".into(), addresses(&["127.0.0.1", "::1"])).unwrap_err();
        assert!(error.to_string().contains("rebound.example.org is this machine's own address 127.0.0.1"), "{error}");
        elsewhere("metadata.example.org".into(), addresses(&["169.254.169.254"])).unwrap_err();
        let left = elsewhere("both.example.org".into(), addresses(&["127.0.0.1", "192.0.2.1"])).unwrap();
        assert_eq!(left, addresses(&["192.0.2.1"]) as Vec<SocketAddr>);
        assert_eq!(elsewhere("localhost".into(), addresses(&["127.0.0.1"])).unwrap().len(), 1);
    }
}
