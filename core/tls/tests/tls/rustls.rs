//! rustls, in the same process.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use edgetrust_core::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use edgetrust_tls::{Alert, CipherSuite, Error, Fault};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::{AlertDescription, ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig};
use rustls::{ServerConnection, StreamOwned};

use super::drive::{Setup, accept, connect};
use super::pki::{Ca, GATEWAY, Identity, Pki};
use super::programs::{LABEL, Listener, dial, name, text};

type Groups = &'static [&'static dyn SupportedKxGroup];
const OURS: Groups = &[aws_lc_rs::kx_group::SECP256R1];
const OURS_LATER: Groups = &[aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1];

/// Returns the provider with these suites and groups.
fn provider(suites: &[CipherSuite], groups: Groups) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    let names: Vec<_> = suites.iter().map(|suite| name(*suite).replace("TLS_", "TLS13_")).collect();
    provider.cipher_suites.retain(|suite| names.contains(&format!("{:?}", suite.suite())));
    assert_eq!(provider.cipher_suites.len(), suites.len());
    provider.kx_groups = groups.to_vec();
    Arc::new(provider)
}

fn roots(der: &[u8]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(der.to_vec().into()).unwrap();
    roots
}

fn chain(identity: &Identity) -> Vec<CertificateDer<'static>> {
    identity.chain.iter().map(|der| der.clone().into()).collect()
}

fn key(identity: &Identity) -> PrivatePkcs8KeyDer<'static> {
    identity.key.serialized_der().to_vec().into()
}

fn client_config(pki: &Pki, provider: Arc<CryptoProvider>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.unwrap().with_root_certificates(roots(&pki.root.der));
    builder.with_client_auth_cert(chain(&pki.sensor), key(&pki.sensor).into()).unwrap()
}

fn server_config(pki: &Pki, provider: Arc<CryptoProvider>, anchor: &[u8]) -> ServerConfig {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(anchor)), Arc::clone(&provider));
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.unwrap().with_client_cert_verifier(verifier.build().unwrap());
    builder.with_single_cert(chain(&pki.gateway), key(&pki.gateway).into()).unwrap()
}

fn client(config: &Arc<ClientConfig>, at: &Listener) -> StreamOwned<ClientConnection, TcpStream> {
    let connection = ClientConnection::new(Arc::clone(config), GATEWAY.try_into().unwrap()).unwrap();
    StreamOwned::new(connection, dial(at.port()))
}

/// Reads text, answers it with keys between, and reads until the end.
macro_rules! answer {
    ($stream:expr) => {{
        let mut found = vec![0; text().len()];
        $stream.read_exact(&mut found).unwrap();
        assert!(found == text().as_bytes());
        $stream.conn.refresh_traffic_keys().unwrap();
        $stream.write_all(text().as_bytes()).unwrap();
        $stream.conn.refresh_traffic_keys().unwrap();
        $stream.write_all(text().as_bytes()).unwrap();
        let mut rest = Vec::new();
        $stream.read_to_end(&mut rest).unwrap();
        assert!(rest == text().as_bytes());
        $stream.conn.send_close_notify();
        $stream.flush().unwrap();
    }};
}

/// Talks with one that answers.
fn talk(stream: &mut super::drive::Stream<TcpStream>) {
    stream.send(text().as_bytes()).unwrap();
    let expected = text().repeat(2);
    assert!(stream.receive_all(expected.len()).unwrap() == expected.as_bytes());
    stream.update_keys().unwrap();
    stream.send(text().as_bytes()).unwrap();
    stream.close().unwrap();
    assert_eq!(stream.receive().unwrap(), b"");
}

#[test]
fn its_client_agrees_with_our_server() {
    let pki = Pki::new();
    let mut setup = Setup::server(&pki);
    setup.clients = Some(vec!["sensor-7"]);
    setup.protocols = vec![b"mqtt"];
    for suite in CipherSuite::ALL {
        for (groups, fragment) in [(OURS, None), (OURS_LATER, Some(200))] {
            setup.sessions = vec![None];
            let mut config = client_config(&pki, provider(&[*suite], groups));
            config.alpn_protocols = vec![b"http/1.1".to_vec(), b"mqtt".to_vec()];
            config.max_fragment_size = fragment;
            let config = Arc::new(config);
            for is_resumed in [false, true, true] {
                setup.seen = None;
                let at = Listener::new();
                thread::scope(|scope| {
                    let theirs = scope.spawn(|| {
                        let mut stream = client(&config, &at);
                        stream.flush().unwrap();
                        let exported = stream.conn.export_keying_material([0; 32], LABEL.as_bytes(), Some(b"context"));
                        answer!(stream);
                        (exported.unwrap(), stream.conn.handshake_kind().unwrap())
                    });
                    let mut stream = accept(at.accept_any(), &mut setup).unwrap();
                    assert_eq!(stream.connection.protocol(), Some(0));
                    talk(&mut stream);
                    let (exported, kind) = theirs.join().unwrap();
                    assert_eq!(stream.connection.export(LABEL.as_bytes(), b"context"), Some(exported));
                    let full =
                        if groups.len() == 1 { HandshakeKind::Full } else { HandshakeKind::FullWithHelloRetryRequest };
                    assert!(kind == if is_resumed { HandshakeKind::Resumed } else { full }, "{kind:?}");
                });
                assert_eq!(setup.seen.as_ref(), (!is_resumed).then(|| &pki.sensor.chain[0]));
            }
        }
    }
}

#[test]
fn our_client_agrees_with_its_server() {
    let pki = Pki::new();
    for suite in CipherSuite::ALL {
        for is_sealed in [false, true] {
            let mut config = server_config(&pki, provider(&[*suite], OURS_LATER), &pki.root.der);
            config.alpn_protocols = vec![b"mqtt".to_vec()];
            config.max_fragment_size = is_sealed.then_some(1000);
            if is_sealed {
                config.ticketer = aws_lc_rs::Ticketer::new().unwrap();
            }
            let config = Arc::new(config);
            let mut setup = Setup::client(&pki);
            setup.protocols = vec![b"http/1.1", b"mqtt"];
            for is_resumed in [false, true, true] {
                setup.seen = None;
                let at = Listener::new();
                thread::scope(|scope| {
                    let theirs = scope.spawn(|| {
                        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                        let mut stream = StreamOwned::new(connection, at.accept_any());
                        stream.conn.complete_io(&mut stream.sock).unwrap();
                        let exported = stream.conn.export_keying_material([0; 32], LABEL.as_bytes(), None);
                        answer!(stream);
                        assert_eq!(stream.conn.server_name(), Some(GATEWAY));
                        (exported.unwrap(), stream.conn.handshake_kind().unwrap())
                    });
                    let mut stream = connect(dial(at.port()), &mut setup).unwrap();
                    assert_eq!(stream.connection.protocol(), Some(1));
                    talk(&mut stream);
                    let (exported, kind) = theirs.join().unwrap();
                    assert_eq!(stream.connection.export(LABEL.as_bytes(), b""), Some(exported));
                    let expected = if is_resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
                    assert!(kind == expected, "{kind:?}, sealed tickets: {is_sealed}");
                    setup.session = stream.session.take();
                });
                assert_eq!(setup.seen.as_ref(), (!is_resumed).then(|| &pki.gateway.chain[0]));
            }
        }
    }
}

#[test]
fn each_hears_the_reason_of_the_other() {
    let pki = Pki::new();
    let other = Ca::new("Another root", None);
    let refused = |setup: &mut Setup, config: ClientConfig| {
        let at = Listener::new();
        thread::scope(|scope| {
            let theirs = scope.spawn(|| {
                let mut stream = client(&Arc::new(config), &at);
                let error = stream.read(&mut [0]).expect_err("a refusal");
                error.downcast::<rustls::Error>().unwrap()
            });
            let ours = accept(at.accept_any(), setup).err().expect("a refusal").tls();
            (ours, theirs.join().unwrap())
        })
    };
    let all = || provider(CipherSuite::ALL, OURS);
    let heard = |alert| rustls::Error::AlertReceived(alert);
    let builder = ClientConfig::builder_with_provider(all()).with_protocol_versions(&[&rustls::version::TLS13]);
    let anonymous = builder.unwrap().with_root_certificates(roots(&pki.root.der)).with_no_client_auth();
    let found = refused(&mut Setup::server(&pki), anonymous);
    assert_eq!(found, (Error::Peer(Fault::NoClientCertificate), heard(AlertDescription::CertificateRequired)));
    let mut setup = Setup::server(&pki);
    setup.anchor = other.der.clone();
    let (ours, theirs) = refused(&mut setup, client_config(&pki, all()));
    assert!(matches!(ours, Error::Refused(_)) && theirs == heard(AlertDescription::UnknownCA), "{ours:?} {theirs:?}");
    let mut setup = Setup::server(&pki);
    setup.clients = Some(vec!["sensor-8"]);
    let (ours, theirs) = refused(&mut setup, client_config(&pki, all()));
    assert!(
        matches!(ours, Error::Refused(_)) && theirs == heard(AlertDescription::AccessDenied),
        "{ours:?} {theirs:?}"
    );
    const NONE_OF_OURS: Groups = &[aws_lc_rs::kx_group::X25519];
    let config = client_config(&pki, provider(CipherSuite::ALL, NONE_OF_OURS));
    let found = refused(&mut Setup::server(&pki), config);
    assert_eq!(found, (Error::Peer(Fault::NoCommon("group")), heard(AlertDescription::HandshakeFailure)));

    // It refuses us.
    for (anchor, credential, alert) in
        [(&other.der, true, Alert::UnknownCa), (&pki.root.der, false, Alert::CertificateRequired)]
    {
        let config = Arc::new(server_config(&pki, all(), anchor));
        let mut setup = Setup::client(&pki);
        setup.credential = setup.credential.filter(|_| credential);
        let at = Listener::new();
        thread::scope(|scope| {
            let theirs = scope.spawn(|| {
                let mut socket = at.accept_any();
                let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                connection.complete_io(&mut socket).expect_err("a refusal");
                // Without an answer that the client can still read the alert may be lost.
                socket.shutdown(std::net::Shutdown::Write).unwrap();
                socket.read_to_end(&mut Vec::new()).unwrap();
            });
            let mut stream = connect(dial(at.port()), &mut setup).unwrap();
            assert_eq!(stream.receive().unwrap_err().tls(), Error::Alert(alert));
            drop(stream);
            theirs.join().unwrap();
        });
    }
}
