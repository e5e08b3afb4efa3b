//! TLS with a real server: rustls on both sides, certificates made for each test.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aiida_firecrest_host::policy::Policy;
use aiida_firecrest_host::{Error, Options, Session};
use aiida_firecrest_tests::{Rig, in_time, plugin};
use firecrest_simulator::Simulator;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A certificate authority of one's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, name: &str, expired: bool) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

/// TLS in front of a simulator.
struct Front {
    url: String,
    /// Handshakes that were completed.
    shaken: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Front {
    async fn start(
        simulator: &Simulator,
        (certificate, key): (CertificateDer<'static>, PrivateKeyDer<'static>),
    ) -> Front {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let behind = simulator.url().trim_start_matches("http://").to_owned();
        let shaken = Arc::new(AtomicUsize::new(0));
        let counter = shaken.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind, counter) = (acceptor.clone(), behind.clone(), counter.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    counter.fetch_add(1, Ordering::Relaxed);
                    let mut server = TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
                });
            }
        });
        Front { url, shaken, task }
    }

    fn options(&self, simulator: &Simulator, options: &Options) -> Options {
        let mut options = options.clone();
        options.set("url", self.url.clone());
        options.set("token_uri", simulator.token_uri().replace(simulator.url(), &self.url));
        options
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A policy that trusts these certificates beside the system's.
fn trusting(folder: &tempfile::TempDir, pem: &str) -> Policy {
    let path = folder.path().join("ca.pem");
    fs::write(&path, pem).unwrap();
    Policy::default().ca_file(path)
}

#[tokio::test]
async fn a_server_with_a_certificate_of_ones_own_authority_is_trusted_when_that_is_given() {
    let (simulator, options, _) = Rig::setup().serve().await;
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let front = Front::start(&simulator, authority.sign("127.0.0.1", false)).await;
    let policy = trusting(&folder, &authority.pem);
    let mut session = Session::open(plugin(), &front.options(&simulator, &options), &policy).await.unwrap();
    assert_eq!(session.whoami().await.unwrap().name, "fireuser");
    assert!(front.shaken.load(Ordering::Relaxed) >= 1);
    // Its object store is named without TLS: less safe than the server, so it has to be given.
    assert!(session.policy().origins().iter().all(|origin| origin.to_string().starts_with("https://")));
}

/// Unknown, expired, of another name, of another authority: nothing is sent, and the error says that it is the certificate.
#[tokio::test]
async fn a_certificate_that_does_not_hold_ends_it_before_anything_is_sent() {
    let (simulator, options, _) = Rig::setup().serve().await;
    let (authority, other, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let trusted = trusting(&folder, &authority.pem);
    for (what, certificate, policy) in [
        ("unknown", authority.sign("127.0.0.1", false), Policy::default()),
        ("expired", authority.sign("127.0.0.1", true), trusted.clone()),
        ("another name", authority.sign("elsewhere.example.org", false), trusted.clone()),
        ("another authority", other.sign("127.0.0.1", false), trusted.clone()),
    ] {
        let front = Front::start(&simulator, certificate).await;
        let options = front.options(&simulator, &options);
        let error = in_time(what, Session::open(plugin(), &options, &policy)).await.unwrap_err();
        assert!(matches!(error, Error::Plugin { .. }), "{what}: {error:?}");
        assert!(error.to_string().contains("certificate"), "{what}: {error}");
        assert_eq!(simulator.requests().len(), 0, "{what}");
    }
}

/// https to a server that speaks none: no second try without.
#[tokio::test]
async fn nothing_falls_back_to_plain_http() {
    let (simulator, mut options, policy) = Rig::setup().serve().await;
    let tls = simulator.url().replace("http://", "https://");
    options.set("token_uri", simulator.token_uri().replace(simulator.url(), &tls));
    options.set("url", tls);
    let error = in_time("giving up", Session::open(plugin(), &options, &policy)).await.unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
    assert_eq!(simulator.requests().len(), 0);
}

/// A server that was asked over TLS cannot send its client to an address without.
#[tokio::test]
async fn a_redirect_to_plain_http_is_not_followed() {
    let (simulator, options, _) = Rig::setup().serve().await;
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let front = Front::start(&simulator, authority.sign("127.0.0.1", false)).await;
    let location = ("location".to_owned(), format!("{}/status/systems", simulator.url()));
    let kind = firecrest_simulator::FaultKind::Answer { status: 308, body: String::new(), headers: vec![location] };
    simulator.plant(firecrest_simulator::Fault::once("/status/systems", kind));
    let policy = trusting(&folder, &authority.pem);
    let opened = Session::open(plugin(), &front.options(&simulator, &options), &policy).await;
    assert!(opened.is_err(), "{opened:?}");
    let asked = simulator.requests().iter().filter(|request| request.path == "/status/systems").count();
    assert_eq!(asked, 1);
}
