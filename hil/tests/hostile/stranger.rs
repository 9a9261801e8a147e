//! A rustls server that requires client certificates, configured as the engine is.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;

use edgetrust_hil::hostile::ClientMode;
use edgetrust_hil::hostile::client::Outcome;
use edgetrust_hil::pki::{Credential, Pki};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::PATIENCE;

/// Returns the reaction of rustls to a hostile client.
pub fn meets(mode: &ClientMode, pki: &Pki, own: &Credential, credential: &Credential, another: &Credential) -> Outcome {
    let config = config(pki, own);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                let (socket, _) = listener.accept().unwrap();
                // A connection that says nothing is the end of the test.
                if socket.peek(&mut [0]).unwrap_or_default() == 0 {
                    return;
                }
                serve(socket, Arc::clone(&config));
            }
        });
        let outcome = mode.ask(address, credential, another);
        drop(TcpStream::connect(address).unwrap());
        outcome.unwrap_or_else(|error| panic!("{}: {error}", mode.name))
    })
}

fn config(pki: &Pki, own: &Credential) -> Arc<ServerConfig> {
    let provider = Arc::new(CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::SECP256R1],
        cipher_suites: vec![
            aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ],
        ..aws_lc_rs::default_provider()
    });
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(pki.root.der.clone())).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let chain = own.chain.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(own.key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}

/// Serves one client, which may do what it likes.
fn serve(mut socket: TcpStream, config: Arc<ServerConfig>) {
    let mut connection = ServerConnection::new(config).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // Whatever ends the connection ends it here: the client says what it has seen.
    let talk = |connection: &mut ServerConnection, socket: &mut TcpStream| -> io::Result<()> {
        while connection.read_tls(socket)? > 0 {
            let state = connection.process_new_packets();
            while connection.wants_write() {
                connection.write_tls(socket)?;
            }
            let state = state.map_err(io::Error::other)?;
            if state.plaintext_bytes_to_read() > 0 {
                io::copy(&mut connection.reader(), &mut io::sink()).ok();
                connection.writer().write_all(b"answer")?;
                while connection.wants_write() {
                    connection.write_tls(socket)?;
                }
            }
        }
        Ok(())
    };
    talk(&mut connection, &mut socket).ok();
    socket.shutdown(Shutdown::Write).ok();
    io::copy(&mut socket, &mut io::sink()).ok();
}
