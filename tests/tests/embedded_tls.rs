//! Tests core's client for devices against a rustls server on loopback: accepted and refused servers, and the errors
//! on each side.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use edgetrust_core::crypto::{ECDSA_P256_SHA256, ECDSA_P384_SHA384, EcdsaSignature, P256Key};
use edgetrust_core::embedded_tls::{
    Buffers, ClientCredential, ConnectionError, Demand, HandshakeError, NoCredential, Shared, SoftwareCredential,
    connect,
};
use edgetrust_core::identity::ServerName;
use edgetrust_core::path::{Anchor, Limits, PathErrorKind, Trust};
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::Certificate;
use embedded_io_async::{ErrorType, Read as _, Write as _};
use pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

const PATIENCE: Duration = Duration::from_secs(30);

/// A socket that blocks, so that each future is ready when it is polled.
struct Blocking(TcpStream);

impl ErrorType for Blocking {
    type Error = io::Error;
}

impl embedded_io_async::Read for Blocking {
    async fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl embedded_io_async::Write for Blocking {
    async fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.write(octets)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a blocking socket waits in its calls"),
    }
}

struct Ca {
    params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
}

impl Ca {
    fn new(name: &str, below: Option<&Ca>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let der = match below {
            Some(ca) => params.signed_by(&key, &Issuer::from_params(&ca.params, &ca.key)).unwrap().into(),
            None => params.self_signed(&key).unwrap().into(),
        };
        Self { params, key, der }
    }

    /// Creates a server's CA certificate without key usage, as `openssl req -x509` does.
    fn pinned(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).unwrap().into();
        Self { params, key, der }
    }

    fn leaf(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (CertificateDer<'static>, KeyPair) {
        self.leaf_of(name, purpose, KeyPair::generate().unwrap())
    }

    fn leaf_of(
        &self,
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
        key: KeyPair,
    ) -> (CertificateDer<'static>, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_params(&self.params, &self.key);
        (params.signed_by(&key, &issuer).unwrap().into(), key)
    }
}

fn server_config(clients: Option<&Ca>, chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(ca.der.clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    builder.with_single_cert(chain, key).unwrap()
}

/// The client's certificate and data as the server received them, or the server's error.
type Seen = Result<(Option<Vec<u8>>, Vec<u8>), String>;

/// Serves one connection: reads five octets, answers, sends close_notify.
fn serve(config: ServerConfig) -> (std::net::SocketAddr, thread::JoinHandle<Seen>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
        let mut words = [0; 5];
        let outcome = rustls::Stream::new(&mut tls, &mut socket).read_exact(&mut words);
        let peer = tls.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.to_vec());
        outcome.map_err(|error| error.to_string())?;
        rustls::Stream::new(&mut tls, &mut socket).write_all(b"heard").map_err(|error| error.to_string())?;
        tls.send_close_notify();
        while tls.wants_write() {
            tls.write_tls(&mut socket).map_err(|error| error.to_string())?;
        }
        // Only a peer that has sent everything has disconnected.
        let _ = socket.shutdown(Shutdown::Write);
        let _ = socket.read(&mut [0; 64]);
        Ok((peer, words.to_vec()))
    });
    (address, server)
}

fn now() -> TrustedTime {
    TrustedTime::Known(UnixTime::now())
}

/// Connects and sends data; returns the server's answer.
fn talk<C: ClientCredential>(
    address: std::net::SocketAddr,
    anchor: &Ca,
    server: ServerName<'_>,
    now: TrustedTime,
    credential: Option<&mut C>,
) -> Result<Vec<u8>, HandshakeError> {
    let anchors = [Anchor::new(Certificate::from_der(&anchor.der).unwrap())];
    let algorithms = [ECDSA_P256_SHA256, ECDSA_P384_SHA384];
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: &algorithms };
    let demand = Demand { trust, server: server.into(), now, limits: Limits::DEVICE };
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut receive, mut send, mut shared) = (vec![0; 16_640], vec![0; 2048], Shared::new());
    let buffers = Buffers { receive: &mut receive, send: &mut send, shared: &mut shared };
    ready(async {
        let mut tls = connect(Blocking(socket), &demand, credential, &mut rand_core::OsRng, buffers).await?;
        assert!(tls.server().valid_until() > UnixTime::now());
        // A server that refuses us may have disconnected already.
        let said = tls.write_all(b"hello").await;
        said.and(tls.flush().await).map_err(|_| HandshakeError::Closed)?;
        let mut heard = Vec::new();
        let mut part = [0; 64];
        loop {
            match tls.read(&mut part).await {
                Ok(0) => break,
                Ok(count) => heard.extend_from_slice(&part[..count]),
                // A server that refuses us says so here (RFC 8446 section 4.4.2.4).
                Err(ConnectionError::Alert | ConnectionError::Truncated | ConnectionError::Io(_)) => {
                    return Err(HandshakeError::Closed);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        tls.close().await.unwrap();
        Ok(heard)
    })
}

const SERVER: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ServerAuth;
const CLIENT: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ClientAuth;
const NAME: ServerName<'static> = ServerName::Dns("gateway.a.example");

#[test]
fn mutual_tls_with_an_intermediate_that_the_server_sends() {
    let root = Ca::new("Root", None);
    let below = Ca::new("Location A", Some(&root));
    let (leaf, key) = below.leaf("gateway.a.example", SERVER);
    let (own, own_key) = root.leaf("sensor-7.a.example", CLIENT);
    let config = server_config(Some(&root), vec![leaf, below.der.clone()], &key);
    let (address, server) = serve(config);
    let mut credential =
        SoftwareCredential { certificate: &own, key: P256Key::from_pkcs8(&own_key.serialize_der()).unwrap() };
    assert_eq!(talk(address, &root, NAME, now(), Some(&mut credential)).unwrap(), b"heard");
    assert_eq!(server.join().unwrap().unwrap(), (Some(own.to_vec()), b"hello".to_vec()));
}

#[test]
fn a_server_with_a_p384_key() {
    let root = Ca::new("Root", None);
    let (leaf, key) =
        root.leaf_of("gateway.a.example", SERVER, KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap());
    let (address, server) = serve(server_config(None, vec![leaf], &key));
    assert_eq!(talk::<NoCredential>(address, &root, NAME, now(), None).unwrap(), b"heard");
    assert!(server.join().unwrap().unwrap().0.is_none());
}

#[test]
fn a_pinned_server_issues_for_nobody() {
    let pin = Ca::pinned("gateway.a.example");
    let (address, server) = serve(server_config(None, vec![pin.der.clone()], &pin.key));
    assert_eq!(talk::<NoCredential>(address, &pin, NAME, now(), None).unwrap(), b"heard");
    assert!(server.join().unwrap().is_ok());
    let (leaf, key) = pin.leaf("gateway.a.example", SERVER);
    let (address, server) = serve(server_config(None, vec![leaf, pin.der.clone()], &key));
    let refused = talk::<NoCredential>(address, &pin, NAME, now(), None).unwrap_err();
    let is_pin = matches!(refused, HandshakeError::Path(error) if error.kind == PathErrorKind::IssuerIsPin);
    assert!(is_pin, "{refused:?}");
    assert!(server.join().unwrap().is_err());
}

#[test]
fn a_server_that_is_refused_is_told_why_and_learns_nothing_of_us() {
    let (root, other) = (Ca::new("Root", None), Ca::new("Other", None));
    let (own, own_key) = root.leaf("sensor-7.a.example", CLIENT);
    let past = TrustedTime::Known(UnixTime::since_unix_epoch(Duration::from_secs(1)));
    let elsewhere = ServerName::Dns("gateway.b.example");
    type Case<'a> =
        (&'a Ca, ServerName<'a>, TrustedTime, ExtendedKeyUsagePurpose, fn(&HandshakeError) -> bool, &'a str);
    let cases: [Case<'_>; 5] = [
        (
            &other,
            NAME,
            now(),
            SERVER,
            |error| matches!(error, HandshakeError::Path(error) if error.kind == PathErrorKind::UnknownIssuer),
            "UnknownCA",
        ),
        (
            &root,
            elsewhere,
            now(),
            SERVER,
            |error| matches!(error, HandshakeError::WrongServerName { found } if found.as_str() == "gateway.a.example"),
            "BadCertificate",
        ),
        (
            &root,
            NAME,
            past,
            SERVER,
            |error| matches!(error, HandshakeError::Path(error) if matches!(error.kind, PathErrorKind::NotYetValid { .. })),
            "CertificateExpired",
        ),
        (
            &root,
            NAME,
            TrustedTime::AtLeast(UnixTime::now()),
            SERVER,
            |error| matches!(error, HandshakeError::Path(error) if error.kind == PathErrorKind::TimeUnknown),
            "CertificateUnknown",
        ),
        (
            &root,
            NAME,
            now(),
            CLIENT,
            |error| matches!(error, HandshakeError::Path(error) if error.kind == PathErrorKind::WrongPurpose),
            "BadCertificate",
        ),
    ];
    for (anchor, name, now, purpose, expected, told) in cases {
        let (leaf, key) = root.leaf("gateway.a.example", purpose);
        let (address, server) = serve(server_config(Some(&root), vec![leaf], &key));
        let mut credential =
            SoftwareCredential { certificate: &own, key: P256Key::from_pkcs8(&own_key.serialize_der()).unwrap() };
        let error = talk(address, anchor, name, now, Some(&mut credential)).unwrap_err();
        assert!(expected(&error), "{error:?}");
        let seen = server.join().unwrap().unwrap_err();
        assert!(seen.contains(told), "{error:?}: the server was told {seen}");
    }
}

#[test]
fn a_server_that_wants_a_certificate_and_gets_none_lets_nobody_in() {
    let root = Ca::new("Root", None);
    let (leaf, key) = root.leaf("gateway.a.example", SERVER);
    let (address, server) = serve(server_config(Some(&root), vec![leaf], &key));
    let error = talk::<NoCredential>(address, &root, NAME, now(), None).unwrap_err();
    assert!(matches!(error, HandshakeError::Closed), "{error:?}");
    assert!(server.join().unwrap().unwrap_err().contains("no certificates"));
}

#[test]
fn a_client_that_is_refused_hears_an_alert() {
    let root = Ca::new("Root", None);
    let (leaf, key) = root.leaf("gateway.a.example", SERVER);
    let (address, server) = serve(server_config(Some(&root), vec![leaf], &key));
    let anchors = [Anchor::new(Certificate::from_der(&root.der).unwrap())];
    let trust =
        Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: &[ECDSA_P256_SHA256] };
    let demand = Demand { trust, server: NAME.into(), now: now(), limits: Limits::DEVICE };
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut receive, mut send, mut shared) = (vec![0; 16_640], vec![0; 2048], Shared::new());
    let buffers = Buffers { receive: &mut receive, send: &mut send, shared: &mut shared };
    let heard = ready(async {
        let rng = &mut rand_core::OsRng;
        let mut tls = connect(Blocking(socket), &demand, None::<&mut NoCredential>, rng, buffers).await.unwrap();
        tls.read(&mut [0; 16]).await
    });
    assert!(matches!(heard, Err(ConnectionError::Alert)), "{heard:?}");
    assert!(server.join().unwrap().unwrap_err().contains("no certificates"));
}

/// A key in a secure element that does not answer.
struct Broken(Vec<u8>);

impl ClientCredential for Broken {
    fn certificate(&self) -> &[u8] {
        &self.0
    }

    fn sign(&mut self, _message: &[u8]) -> Option<EcdsaSignature> {
        None
    }
}

#[test]
fn a_key_that_cannot_sign_is_an_error_and_no_panic() {
    let root = Ca::new("Root", None);
    let (leaf, key) = root.leaf("gateway.a.example", SERVER);
    let (own, _) = root.leaf("sensor-7.a.example", CLIENT);
    let (address, server) = serve(server_config(Some(&root), vec![leaf], &key));
    let error = talk(address, &root, NAME, now(), Some(&mut Broken(own.to_vec()))).unwrap_err();
    assert!(matches!(error, HandshakeError::Signing), "{error:?}");
    assert!(server.join().unwrap().is_err());
}
